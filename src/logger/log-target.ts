/**
 * From a container's LogConfig to where its output goes. json-file and local are files. Of syslog, gelf, fluentd and
 * journald the pump writes a file in the compact format of `local` as well: it is what `docker logs` reads, and the
 * buffer that the shipping thread reads from, so that no remote is ever waited for by the pump.
 */
import { invalidParameter, notImplemented, messageOf } from '#errdefs/errors.ts';
import { join } from 'node:path';
import { fluentdSettings } from './fluentd/options.ts';
import { gelfSettings } from './gelf/options.ts';
import { journaldSettings } from './journald/options.ts';
import { jsonFileTarget, validateJsonFileOptions } from './json-file/options.ts';
import { cacheOptions, localTarget, validateCacheOptions, validateLocalOptions } from './local/options.ts';
import type { LogFileTarget } from './log-file.ts';
import { type LogOptions, parseRamSize } from './option-values.ts';
import { type RemoteSettings, type RemoteTarget, thisHost } from './remote-target.ts';
import { attributesOf, type LogSubject } from './subject.ts';
import { syslogSettings } from './syslog/options.ts';
import { expandTag } from './tag.ts';

export type { LogSubject } from './subject.ts';

/** Undefined where a container has no log (driver none). */
export interface LogTarget extends LogFileTarget {
  /** `logs` and `attach` with logs may read it. */
  readonly readable: boolean;
  readonly remote: RemoteTarget | undefined;
}

export interface LogConfig {
  /** Empty: json-file. */
  readonly type: string;
  readonly options: LogOptions;
}

/** As `docker info` lists them. */
export const logDrivers = ['fluentd', 'gelf', 'journald', 'json-file', 'local', 'none', 'syslog'] as const;

const refused = new Set(['awslogs', 'splunk', 'etwlogs', 'gcplogs', 'logentries']);
/** Of every driver. */
const common = new Set(['mode', 'max-buffer-size', ...cacheOptions]);

const DEFAULT_RING_BYTES = 1 << 20;
/** The buffer where there is to be no cache: four files of five megabytes. */
const BARE_BUFFER = { 'max-size': '5m', 'max-file': '4', compress: 'false' };
/** JSON of a container's attributes that its log can carry. */
const ATTRS_BYTES_MAX = 24 * 1024;

/** Refuses unknown drivers and options. Errors: invalid-parameter, not-implemented. For container create. */
export function validateLogConfig(config: LogConfig): void {
  // As dockerd: options of another driver may stand there and have no effect.
  if (config.type === 'none') return;
  ringBytesOf(config.options);
  validateCacheOptions(config.options);
  const own = ownOptions(config.options);
  if (remoteSettings(config.type, own) !== undefined) {
    expandTag(own['tag'] ?? '', nobody);
    return;
  }
  if (config.type === 'local') validateLocalOptions(own);
  else {
    validateJsonFileOptions(own);
    expandTag(own['tag'] ?? '', nobody);
  }
}

/** For the check of a template before there is a container. */
const nobody: LogSubject = {
  ...{ containerId: '', containerName: '', imageId: '', imageName: '', daemonName: '', createdAt: '' },
  ...{ labels: {}, env: [], command: [] },
};

function ownOptions(options: LogOptions): LogOptions {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !common.has(name)));
}

/** undefined: blocking. */
function ringBytesOf(options: LogOptions): number | undefined {
  const mode = options['mode'] ?? '';
  if (!['', 'blocking', 'non-blocking'].includes(mode)) {
    throw invalidParameter(`logger: logging mode not supported: ${mode}`);
  }
  const size = options['max-buffer-size'];
  if (size !== undefined && mode !== 'non-blocking') {
    throw invalidParameter("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
  }
  if (mode !== 'non-blocking') return undefined;
  try {
    return size === undefined ? DEFAULT_RING_BYTES : parseRamSize(size);
  } catch (cause) {
    throw invalidParameter(`error parsing option max-buffer-size: ${messageOf(cause)}`, { cause });
  }
}

/** Undefined for the drivers whose log is a file. */
function remoteSettings(type: string, options: LogOptions): RemoteSettings | undefined {
  switch (type) {
    case '':
    case 'json-file':
    case 'local':
      return undefined;
    case 'syslog':
      return syslogSettings(options);
    case 'gelf':
      return gelfSettings(options);
    case 'fluentd':
      return fluentdSettings(options);
    case 'journald':
      return journaldSettings(options);
    default:
      if (refused.has(type)) throw notImplemented(`log driver "${type}" is not supported`);
      throw invalidParameter(`error looking up logging plugin ${type}: plugin "${type}" not found`);
  }
}

/** The name of the newest log file in the container's directory; '' without a file. */
export function logFileName(type: string, containerId: string): string {
  if (type === 'none') return '';
  if (type === '' || type === 'json-file') return `${containerId}-json.log`;
  return type === 'local' ? 'local-logs.log' : 'container-cached.log';
}

/** Where the container's output is logged; `directory` is the container's own. */
export function logTarget(config: LogConfig, directory: string, subject: LogSubject): LogTarget | undefined {
  if (config.type === 'none') return undefined;
  const path = join(directory, logFileName(config.type, subject.containerId));
  const ringBytes = ringBytesOf(config.options);
  const own = ownOptions(config.options);
  const settings = remoteSettings(config.type, own);
  if (settings === undefined) {
    const file = config.type === 'local' ? localTarget(path, own) : jsonFileTarget(path, own, subject);
    return { ...file, readable: true, remote: undefined };
  }
  const cache = validateCacheOptions(config.options);
  const attributes = attributesOf(own, subject);
  const attrs = Object.keys(attributes).length === 0 ? '' : JSON.stringify(attributes);
  if (Buffer.byteLength(attrs) > ATTRS_BYTES_MAX) {
    throw invalidParameter(`the extra attributes of the log are longer than ${ATTRS_BYTES_MAX} bytes`);
  }
  const file = localTarget(path, cache.disabled ? BARE_BUFFER : cache.local, attrs);
  const wholeBytes = file.maxSizeBytes * file.maxFiles;
  const limit = settings.driver === 'fluentd' ? settings.bufferBytesMax : undefined;
  const remote: RemoteTarget = {
    settings,
    identity: {
      containerId: subject.containerId,
      containerName: subject.containerName,
      imageId: subject.imageId,
      imageName: subject.imageName,
      command: subject.command.join(' '),
      createdAt: subject.createdAt,
      hostname: thisHost(),
      tag: expandTag((own['tag'] ?? '') === '' ? '{{.ID}}' : (own['tag'] ?? ''), subject),
      attributes,
    },
    blocking: ringBytes === undefined,
    bufferBytesMax: Math.min(ringBytes ?? limit ?? wholeBytes, wholeBytes),
  };
  return { ...file, keepUnsent: remote.blocking, readable: !cache.disabled, remote };
}
