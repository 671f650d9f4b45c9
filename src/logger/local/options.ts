/**
 * Options of the local driver, and of the cache that keeps output readable where it goes to another machine: the same,
 * with `cache-` before them. Defaults as dockerd: 20 MB, five files, compressed.
 */
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import type { LogFileTarget } from '../log-file.ts';
import { type LogOptions, parseBool, parseHumanSize, parseInteger } from '../option-values.ts';

const DEFAULT_MAX_SIZE_BYTES = 20 * 1024 * 1024;
const DEFAULT_MAX_FILES = 5;

const known = new Set(['max-file', 'max-size', 'compress']);
export const cacheOptions = ['cache-disabled', ...[...known].map((name) => `cache-${name}`)];

/** Errors: invalid-parameter. */
export function validateLocalOptions(options: LogOptions): Omit<LogFileTarget, 'driver' | 'path' | 'attrs'> {
  for (const name of Object.keys(options)) {
    if (!known.has(name)) throw invalidParameter(`unknown log opt '${name}' for log driver local`);
  }
  const value = <T>(name: string, fallback: T, parse: (text: string) => T): T => {
    const text = options[name];
    if (text === undefined) return fallback;
    try {
      return parse(text);
    } catch (cause) {
      const shown = name === 'compress' ? '' : `: ${text}`;
      throw invalidParameter(`invalid value for ${name}${shown}: ${messageOf(cause)}`, { cause });
    }
  };
  const maxSizeBytes = value('max-size', DEFAULT_MAX_SIZE_BYTES, parseHumanSize);
  const maxFiles = value('max-file', DEFAULT_MAX_FILES, parseInteger);
  const compress = value('compress', true, parseBool);
  if (maxSizeBytes <= 0) throw invalidParameter('max size should be a positive number');
  if (maxFiles < 1) throw invalidParameter('max file count cannot be less than 1');
  if (maxFiles > 1000) throw invalidParameter('max file count cannot be more than 1000');
  if (compress && maxFiles === 1) {
    throw invalidParameter('compression cannot be enabled when max file count is 1');
  }
  return { maxSizeBytes, maxFiles, compress };
}

export function validateCacheOptions(options: LogOptions): { readonly disabled: boolean; readonly local: LogOptions } {
  const text = options['cache-disabled'] ?? '';
  let disabled = false;
  try {
    disabled = text !== '' && parseBool(text);
  } catch (cause) {
    throw invalidParameter(`invalid value for option cache-disabled: ${text}`, { cause });
  }
  const cache = Object.entries(options).filter(([name]) => name.startsWith('cache-') && name !== 'cache-disabled');
  const local = Object.fromEntries(cache.map(([name, value]) => [name.slice('cache-'.length), value]));
  validateLocalOptions(local);
  return { disabled, local };
}

export function localTarget(path: string, options: LogOptions, attrs = ''): LogFileTarget {
  return { driver: 'local', path, ...validateLocalOptions(options), attrs };
}
