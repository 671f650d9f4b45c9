/** `--cache-from` and `--cache-to`: what is asked for, and what is refused by name. Pure. */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { csvFields } from '#pkg/csv/csv.ts';
import type { CompressionWish } from '#builder/request.ts';

export interface CacheSpec {
  readonly type: string;
  readonly attributes: ReadonlyMap<string, string>;
}

/** Stores of others: their protocols are not spoken here. */
const FOREIGN: ReadonlySet<string> = new Set(['gha', 's3', 'azblob']);

/** `type=registry,ref=app:cache`, or a name alone. Errors: invalid-parameter. */
export function parseCacheSpec(text: string): CacheSpec {
  if (!text.includes('=')) return { type: 'registry', attributes: new Map([['ref', text]]) };
  const attributes = new Map<string, string>();
  for (const field of csvFields(text)) {
    const at = field.indexOf('=');
    if (at <= 0) throw invalidParameter(`invalid value ${field}: a cache option is key=value`);
    attributes.set(field.slice(0, at).toLowerCase(), field.slice(at + 1));
  }
  const type = attributes.get('type') ?? '';
  attributes.delete('type');
  if (type === '') throw invalidParameter(`type required form> ${JSON.stringify(text)}`);
  return { type, attributes };
}

/** Errors: not-implemented for stores of others; invalid-parameter for what is none. */
export function checkSourceSpec({ type, attributes }: CacheSpec): void {
  if (FOREIGN.has(type)) {
    throw notImplemented(`cache imports of type=${type} are not supported: use type=registry or type=local`);
  }
  if (type === 'inline') throw invalidParameter('inline cache importer requires ref: use type=registry,ref=NAME');
  if (type === 'registry') need(attributes, 'ref', type);
  else if (type === 'local') need(attributes, 'src', type);
  else throw invalidParameter(`unknown cache importer: ${JSON.stringify(type)}`);
}

/** Errors: as checkSourceSpec. */
export function checkTargetSpec({ type, attributes }: CacheSpec): void {
  if (FOREIGN.has(type)) {
    throw notImplemented(
      `cache exports of type=${type} are not supported: use type=registry, type=local or type=inline`,
    );
  }
  if (type === 'registry') need(attributes, 'ref', type);
  else if (type === 'local') need(attributes, 'dest', type);
  else if (type !== 'inline') throw invalidParameter(`unknown cache exporter: ${JSON.stringify(type)}`);
}

function need(attributes: ReadonlyMap<string, string>, name: string, type: string): void {
  if ((attributes.get(name) ?? '') === '') throw invalidParameter(`${name} is required for a cache of type=${type}`);
}

/** Errors: invalid-parameter. */
export function modeOf(attributes: ReadonlyMap<string, string>): 'min' | 'max' {
  const mode = attributes.get('mode') ?? 'min';
  if (mode !== 'min' && mode !== 'max')
    throw invalidParameter(`invalid cache mode ${JSON.stringify(mode)}: min or max`);
  return mode;
}

/** Errors: invalid-parameter. */
export function flagOf(attributes: ReadonlyMap<string, string>, name: string, initial: boolean): boolean {
  const text = attributes.get(name);
  if (text === undefined) return initial;
  if (/^(?:1|t|true)$/i.test(text)) return true;
  if (/^(?:0|f|false)$/i.test(text)) return false;
  throw invalidParameter(`invalid value ${JSON.stringify(text)} for ${name}: true or false`);
}

/** Undefined when nothing is said. Errors: invalid-parameter; not-implemented for estargz. */
export function compressionOf(attributes: ReadonlyMap<string, string>): CompressionWish | undefined {
  const type = attributes.get('compression');
  const force = attributes.has('force-compression') ? flagOf(attributes, 'force-compression', false) : undefined;
  const text = attributes.get('compression-level');
  if (type === undefined && force === undefined && text === undefined) return undefined;
  if (type === 'estargz') throw notImplemented('compression=estargz is not supported: use gzip or zstd');
  if (type !== undefined && type !== 'gzip' && type !== 'zstd' && type !== 'uncompressed') {
    throw invalidParameter(`unsupported layer compression type: ${JSON.stringify(type)}`);
  }
  const level = text === undefined ? undefined : Number(text);
  if (level !== undefined && !Number.isInteger(level)) throw invalidParameter(`invalid compression-level ${text}`);
  return { type: type ?? 'gzip', level, force: force ?? false };
}
