/**
 * Options of the json-file driver (`--log-opt`), validated in dockerd's words. Two differences from dockerd: without
 * max-size a log is rotated at 100 MB and five files are kept (dockerd's grows until the disk is full; `max-size=-1` asks
 * for that), and compression is refused until it is there.
 */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { ATTRS_BYTES_MAX } from './encoder.ts';
import type { JsonFileTarget } from './log-file.ts';

export const DEFAULT_MAX_SIZE_BYTES = 100_000_000;
export const DEFAULT_MAX_FILES = 5;

/** What options may refer to: `labels`, `env` and `tag` put parts of it into each line. */
export interface LogSubject {
  readonly containerId: string;
  readonly containerName: string;
  readonly imageId: string;
  readonly imageName: string;
  readonly daemonName: string;
  readonly labels: Readonly<Record<string, string>>;
  /** NAME=value. */
  readonly env: readonly string[];
}

type Options = Readonly<Record<string, string>>;

const known = new Set([
  'max-file',
  'max-size',
  'compress',
  'labels',
  'labels-regex',
  'env',
  'env-regex',
  'tag',
  'mode',
]);

/** Refuses what the driver does not know or cannot do. Errors: invalid-parameter, not-implemented. */
export function validateJsonFileOptions(options: Options): { maxSizeBytes: number; maxFiles: number } {
  for (const name of Object.keys(options)) {
    if (name === 'max-buffer-size') throw notImplemented('log opt "max-buffer-size" is not supported yet');
    if (!known.has(name)) throw invalidParameter(`unknown log opt '${name}' for json-file log driver`);
  }
  validateMode(options['mode']);
  regexOf('labels-regex', options['labels-regex']);
  regexOf('env-regex', options['env-regex']);
  if (options['compress'] !== undefined && parseBool(options['compress'])) {
    throw notImplemented('log opt "compress" is not supported yet');
  }
  return { maxSizeBytes: maxSizeOf(options), maxFiles: maxFilesOf(options) };
}

function validateMode(mode: string | undefined): void {
  if (mode === undefined || mode === '' || mode === 'blocking') return;
  if (mode === 'non-blocking') throw notImplemented('log opt "mode=non-blocking" is not supported yet');
  throw invalidParameter(`logger: logging mode not supported: ${mode}`);
}

function maxSizeOf(options: Options): number {
  const text = options['max-size'];
  if (text === undefined) return DEFAULT_MAX_SIZE_BYTES;
  if (text === '-1') return -1;
  const bytes = parseHumanSize(text);
  if (bytes <= 0) throw invalidParameter('max-size must be a positive number');
  return bytes;
}

function maxFilesOf(options: Options): number {
  const text = options['max-file'];
  // As dockerd: who gives a size and no number keeps one file.
  if (text === undefined) return options['max-size'] === undefined ? DEFAULT_MAX_FILES : 1;
  if (!/^[+-]?\d+$/.test(text)) {
    throw invalidParameter(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  const count = Number(text);
  if (count < 1) throw invalidParameter('max-file cannot be less than 1');
  if (count > 1000) throw invalidParameter('max-file cannot be more than 1000');
  return count;
}

/** The driver's target for one container. */
export function jsonFileTarget(path: string, options: Options, subject: LogSubject): JsonFileTarget {
  const { maxSizeBytes, maxFiles } = validateJsonFileOptions(options);
  const attrs = attrsOf(options, subject);
  const text = Object.keys(attrs).length === 0 ? '' : JSON.stringify(attrs);
  if (Buffer.byteLength(text) > ATTRS_BYTES_MAX) {
    throw invalidParameter(`the extra attributes of the log are longer than ${ATTRS_BYTES_MAX} bytes`);
  }
  return { driver: 'json-file', path, maxSizeBytes, maxFiles, attrs: text };
}

function attrsOf(options: Options, subject: LogSubject): Record<string, string> {
  const attrs: Record<string, string> = {};
  const take = (names: string | undefined, regex: RegExp | undefined, from: Iterable<readonly [string, string]>) => {
    const wanted = new Set((names ?? '').split(',').filter((name) => name !== ''));
    for (const [name, value] of from) if (wanted.has(name) || regex?.test(name) === true) attrs[name] = value;
  };
  take(options['labels'], regexOf('labels-regex', options['labels-regex']), Object.entries(subject.labels));
  const env = subject.env
    .filter((e) => e.includes('='))
    .map((e) => {
      const at = e.indexOf('=');
      return [e.slice(0, at), e.slice(at + 1)] as const;
    });
  take(options['env'], regexOf('env-regex', options['env-regex']), env);
  const tag = options['tag'];
  if (tag !== undefined && tag !== '') attrs['tag'] = expandTag(tag, subject);
  return Object.fromEntries(Object.entries(attrs).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The fields of Go templates that docker documents for `tag`; anything else is refused by name. */
function expandTag(tag: string, subject: LogSubject): string {
  const fields: Readonly<Record<string, string>> = {
    ID: subject.containerId.slice(0, 12),
    FullID: subject.containerId,
    Name: subject.containerName,
    ImageID: subject.imageId.replace(/^sha256:/, '').slice(0, 12),
    ImageFullID: subject.imageId,
    ImageName: subject.imageName,
    DaemonName: subject.daemonName,
  };
  return tag.replaceAll(/\{\{\s*(.*?)\s*\}\}/g, (_, expression: string) => {
    const value = expression.startsWith('.') ? fields[expression.slice(1)] : undefined;
    if (value === undefined) throw invalidParameter(`log opt "tag" does not know {{${expression}}}`);
    return value;
  });
}

function regexOf(name: string, text: string | undefined): RegExp | undefined {
  if (text === undefined || text === '') return undefined;
  try {
    return new RegExp(text);
  } catch (cause) {
    throw invalidParameter(`error parsing regexp of log opt "${name}": ${text}`, { cause });
  }
}

/** Go's strconv.ParseBool. */
function parseBool(text: string): boolean {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false;
  throw invalidParameter(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
}

/** Sizes of options count in thousands: 10m is 10,000,000 (go-units FromHumanSize). */
function parseHumanSize(text: string): number {
  const match = /^(-?\d+(?:\.\d+)?) ?(?:([kKmMgGtTpP])(?:i?[bB])?|[bB])?$/.exec(text);
  if (match === null) throw invalidParameter(`invalid size: '${text}'`);
  const power = match[2] === undefined ? 0 : 'kmgtp'.indexOf(match[2].toLowerCase()) + 1;
  return Math.floor(Number(match[1]) * 1000 ** power);
}
