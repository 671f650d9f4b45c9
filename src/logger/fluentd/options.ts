/** Options of the fluentd driver, in dockerd's words. */
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { parseDuration } from '#pkg/units/duration.ts';
import { type Endpoint, parseHostPort } from '../endpoint.ts';
import { type LogOptions, parseBool, parseInteger, parseRamSize } from '../option-values.ts';
import { attributeOptions, checkAttributeOptions } from '../subject.ts';

export interface FluentdSettings {
  readonly driver: 'fluentd';
  readonly endpoint: Endpoint;
  readonly subSecond: boolean;
  readonly requestAck: boolean;
  /** undefined: as long as there is room in the buffer. */
  readonly retriesMax: number | undefined;
  readonly retryDelayMs: number;
  /** How long an answer, and the taking of what is written, may last; 0: as long as it does. */
  readonly readLimitMs: number;
  readonly writeLimitMs: number;
  /** Bytes that may wait for the remote, where the option says so. */
  readonly bufferBytesMax: number | undefined;
}

const known = new Set<string>([
  'fluentd-address',
  'fluentd-async',
  'fluentd-async-connect',
  'fluentd-async-reconnect-interval',
  'fluentd-buffer-limit',
  'fluentd-max-retries',
  'fluentd-request-ack',
  'fluentd-retry-wait',
  'fluentd-sub-second-precision',
  'fluentd-read-timeout',
  'fluentd-write-timeout',
  'tag',
  ...attributeOptions,
]);

const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_PORT = 24_224;
const DEFAULT_RETRY_WAIT_MS = 1000;
const NANOSECONDS_PER_MS = 1_000_000n;

/** Errors: invalid-parameter. */
export function fluentdSettings(options: LogOptions): FluentdSettings {
  for (const name of Object.keys(options)) {
    if (!known.has(name)) throw invalidParameter(`unknown log opt '${name}' for fluentd log driver`);
  }
  checkAttributeOptions(options);
  if (options['fluentd-async'] !== undefined && options['fluentd-async-connect'] !== undefined) {
    throw invalidParameter("conflicting options: cannot specify both 'fluentd-async' and 'fluentd-async-connect'");
  }
  // Connecting never keeps a container from starting here, so either value means the same; it must be one though.
  for (const name of ['fluentd-async', 'fluentd-async-connect']) flag(options, name);
  const interval = value(options, 'fluentd-async-reconnect-interval', duration) ?? 0;
  if (interval !== 0 && (interval < 100 || interval > 10_000)) {
    throw invalidParameter('invalid fluentd-async-reconnect-interval: value must be between 100ms and 10s');
  }
  return {
    driver: 'fluentd',
    endpoint: endpointOf(options['fluentd-address'] ?? ''),
    subSecond: flag(options, 'fluentd-sub-second-precision'),
    requestAck: flag(options, 'fluentd-request-ack'),
    retriesMax: value(options, 'fluentd-max-retries', parseInteger),
    retryDelayMs: value(options, 'fluentd-retry-wait', duration) ?? DEFAULT_RETRY_WAIT_MS,
    readLimitMs: limit(options, 'fluentd-read-timeout'),
    writeLimitMs: limit(options, 'fluentd-write-timeout'),
    bufferBytesMax: value(options, 'fluentd-buffer-limit', parseRamSize),
  };
}

function flag(options: LogOptions, name: string): boolean {
  return value(options, name, parseBool) ?? false;
}

function limit(options: LogOptions, name: string): number {
  const ms = value(options, name, duration) ?? 0;
  if (ms < 0) throw invalidParameter(`invalid value for ${name}: value must be positive`);
  return ms;
}

function duration(text: string): number {
  return Number(parseDuration(text) / NANOSECONDS_PER_MS);
}

function value<T>(options: LogOptions, name: string, parse: (text: string) => T): T | undefined {
  const text = options[name];
  if (text === undefined || text === '') return undefined;
  try {
    return parse(text);
  } catch (cause) {
    throw invalidParameter(`invalid value for ${name}: ${messageOf(cause)}`, { cause });
  }
}

function endpointOf(address: string): Endpoint {
  if (address === '') return { kind: 'tcp', host: DEFAULT_HOST, port: DEFAULT_PORT };
  const text = address.includes('://') ? address : `tcp://${address}`;
  const match = /^(tcp|tls|unix):\/\/(.*)$/.exec(text);
  const [, scheme = '', rest = ''] = match ?? [];
  if (scheme === 'unix') {
    if (rest === '') throw invalidParameter(`invalid fluentd-address ${address}: path is empty`);
    return { kind: 'unix', path: rest };
  }
  const place = parseHostPort(rest.replace(/\/$/, ''), DEFAULT_PORT);
  if (match === null) throw invalidParameter(`invalid fluentd-address ${address}: unsupported scheme`);
  if (place === undefined) throw invalidParameter(`invalid fluentd-address ${address}: invalid host or port`);
  const host = rest.startsWith(':') ? DEFAULT_HOST : place.host;
  if (scheme === 'tls') {
    return { kind: 'tcp', ...place, host, tls: { ca: '', cert: '', key: '', skipVerify: false } };
  }
  return { kind: 'tcp', ...place, host };
}
