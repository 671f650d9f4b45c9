/** HostConfig.LogConfig: drivers that exist and the options that each takes. */
import type { LogConfig } from '#api/types/host-config.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';

export interface LogOptions {
  readonly driver: 'json-file' | 'none';
  /** Rotate beyond this; -1: never. */
  readonly maxSizeBytes: number;
  readonly maxFiles: number;
}

/** Where nothing is said: five files of 20 MB, so that a chatty container does not fill the disk. */
const DEFAULT_MAX_SIZE_BYTES = 20 * 1024 * 1024;
const DEFAULT_MAX_FILES = 5;

const dockersDrivers = ['awslogs', 'etwlogs', 'fluentd', 'gcplogs', 'gelf', 'journald', 'local', 'splunk', 'syslog'];
const dockersJsonFileOptions = ['labels', 'labels-regex', 'env', 'env-regex', 'compress', 'tag', 'max-buffer-size'];

export function parseLogConfig(config: LogConfig): LogOptions {
  const options = config.Config ?? {};
  switch (config.Type) {
    case 'none':
      for (const key of Object.keys(options)) throw invalidParameter(`unknown log opt '${key}' for none log driver`);
      return { driver: 'none', maxSizeBytes: -1, maxFiles: 1 };
    case '':
    case 'json-file':
      return jsonFile(options);
    default:
      if (dockersDrivers.includes(config.Type)) {
        throw notImplemented(`LogConfig.Type "${config.Type}" is not supported yet: use json-file or none`);
      }
      throw invalidParameter(`logger: no log driver named '${config.Type}' is registered`);
  }
}

function jsonFile(options: Readonly<Record<string, string>>): LogOptions {
  let maxSizeBytes = DEFAULT_MAX_SIZE_BYTES;
  let maxFiles = DEFAULT_MAX_FILES;
  for (const [key, value] of Object.entries(options)) {
    switch (key) {
      case 'max-size':
        maxSizeBytes = value === '-1' ? -1 : parseSize(value);
        break;
      case 'max-file':
        if (!/^\d{1,6}$/.test(value)) throw invalidParameter(`invalid value for max-file: "${value}"`);
        maxFiles = Number(value);
        if (maxFiles < 1) throw invalidParameter('max-file cannot be less than 1');
        break;
      case 'mode':
        if (value === 'blocking') break;
        if (value === 'non-blocking') throw notImplemented('log opt "mode" is not supported yet: non-blocking');
        throw invalidParameter(`logger: logging mode not supported: ${value}`);
      case 'compress':
        if (value === 'false') break;
        throw notImplemented('log opt "compress" is not supported yet');
      default:
        if (dockersJsonFileOptions.includes(key)) throw notImplemented(`log opt "${key}" is not supported yet`);
        throw invalidParameter(`unknown log opt '${key}' for json-file log driver`);
    }
  }
  if (maxSizeBytes === -1 && 'max-file' in options && maxFiles > 1) {
    throw invalidParameter('max-file cannot be used without max-size');
  }
  return { driver: 'json-file', maxSizeBytes, maxFiles };
}

const powers: Readonly<Record<string, number>> = { '': 0, k: 1, m: 2, g: 3, t: 4, p: 5 };

function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(text);
  const size = match === null ? 0 : Number(match[1]) * 1024 ** (powers[(match[2] ?? '').toLowerCase()] ?? 0);
  if (!Number.isFinite(size) || size < 1) throw invalidParameter(`invalid value for max-size: "${text}"`);
  return Math.trunc(size);
}
