/**
 * Options of the json-file driver (`--log-opt`), validated in dockerd's words. One difference from dockerd: without
 * max-size a log is rotated at 100 MB and five files are kept (dockerd's grows until the disk is full; `max-size=-1` asks
 * for that).
 */
import { invalidParameter } from '#errdefs/errors.ts';
import type { LogFileTarget } from '../log-file.ts';
import { type LogOptions, parseBool, parseHumanSize, parseInteger } from '../option-values.ts';
import { attributeOptions, attributesOf, checkAttributeOptions, type LogSubject, sorted } from '../subject.ts';
import { expandTag } from '../tag.ts';
import { ATTRS_BYTES_MAX } from './encoder.ts';

export const DEFAULT_MAX_SIZE_BYTES = 100_000_000;
export const DEFAULT_MAX_FILES = 5;

const known = new Set<string>(['max-file', 'max-size', 'compress', 'tag', ...attributeOptions]);

interface Rotation {
  readonly maxSizeBytes: number;
  readonly maxFiles: number;
  readonly compress: boolean;
}

/** Refuses what the driver does not know. Errors: invalid-parameter. */
export function validateJsonFileOptions(options: LogOptions): Rotation {
  for (const name of Object.keys(options)) {
    if (!known.has(name)) throw invalidParameter(`unknown log opt '${name}' for json-file log driver`);
  }
  checkAttributeOptions(options);
  const maxSizeBytes = maxSizeOf(options);
  const maxFiles = maxFilesOf(options);
  const compress = options['compress'] !== undefined && parseBool(options['compress']);
  if (compress && (maxFiles === 1 || maxSizeBytes === -1)) {
    throw invalidParameter('compress cannot be true when max-file is less than 2 or max-size is not set');
  }
  return { maxSizeBytes, maxFiles, compress };
}

function maxSizeOf(options: LogOptions): number {
  const text = options['max-size'];
  if (text === undefined) return DEFAULT_MAX_SIZE_BYTES;
  if (text === '-1') return -1;
  const bytes = parseHumanSize(text);
  if (bytes <= 0) throw invalidParameter('max-size must be a positive number');
  return bytes;
}

function maxFilesOf(options: LogOptions): number {
  const text = options['max-file'];
  // As dockerd: who gives a size and no number keeps one file.
  if (text === undefined) return options['max-size'] === undefined ? DEFAULT_MAX_FILES : 1;
  const count = parseInteger(text);
  if (count < 1) throw invalidParameter('max-file cannot be less than 1');
  if (count > 1000) throw invalidParameter('max-file cannot be more than 1000');
  return count;
}

/** The driver's target for one container. */
export function jsonFileTarget(path: string, options: LogOptions, subject: LogSubject): LogFileTarget {
  const rotation = validateJsonFileOptions(options);
  const attrs = attributesOf(options, subject);
  const tag = options['tag'];
  if (tag !== undefined && tag !== '') attrs['tag'] = expandTag(tag, subject);
  const text = Object.keys(attrs).length === 0 ? '' : JSON.stringify(sorted(attrs));
  if (Buffer.byteLength(text) > ATTRS_BYTES_MAX) {
    throw invalidParameter(`the extra attributes of the log are longer than ${ATTRS_BYTES_MAX} bytes`);
  }
  return { driver: 'json-file', path, ...rotation, attrs: text };
}
