/** Options of the gelf driver, in dockerd's words. */
import { invalidParameter } from '#errdefs/errors.ts';
import { type Endpoint, parseHostPort } from '../endpoint.ts';
import type { LogOptions } from '../option-values.ts';
import { attributeOptions, checkAttributeOptions } from '../subject.ts';

export interface GelfSettings {
  readonly driver: 'gelf';
  readonly endpoint: Endpoint;
  /** Of datagrams only. */
  readonly compression: 'gzip' | 'zlib' | 'none';
  /** zlib's: −1 is its default. */
  readonly level: number;
  /** undefined: as long as there is room in the buffer. */
  readonly retriesMax: number | undefined;
  readonly retryDelayMs: number;
}

const known = new Set<string>(['gelf-address', 'tag', ...attributeOptions]);
const BEST_SPEED = 1;

/** Errors: invalid-parameter. */
export function gelfSettings(options: LogOptions): GelfSettings {
  const address = options['gelf-address'] ?? '';
  const endpoint = endpointOf(address);
  for (const [name, value] of Object.entries(options)) {
    switch (name) {
      case 'gelf-compression-level':
      case 'gelf-compression-type':
        if (endpoint.kind !== 'udp') throw invalidParameter('compression is only supported on UDP');
        if (!validCompression(name, value)) {
          throw invalidParameter(`unknown value ${JSON.stringify(value)} for log opt "${name}" for gelf log driver`);
        }
        break;
      case 'gelf-tcp-max-reconnect':
      case 'gelf-tcp-reconnect-delay':
        if (endpoint.kind !== 'tcp') throw invalidParameter(`"${name}" is only valid for TCP`);
        if (!/^\+?\d+$/.test(value)) throw invalidParameter(`"${name}" must be a positive integer`);
        break;
      default:
        if (!known.has(name)) throw invalidParameter(`unknown log opt "${name}" for gelf log driver`);
    }
  }
  checkAttributeOptions(options);
  const type = options['gelf-compression-type'];
  const retries = options['gelf-tcp-max-reconnect'];
  return {
    driver: 'gelf',
    endpoint,
    compression: type === 'zlib' || type === 'none' ? type : 'gzip',
    level: Number(options['gelf-compression-level'] ?? BEST_SPEED),
    retriesMax: retries === undefined ? undefined : Number(retries),
    retryDelayMs: Number(options['gelf-tcp-reconnect-delay'] ?? 1) * 1000,
  };
}

function validCompression(name: string, value: string): boolean {
  if (name === 'gelf-compression-type') return ['gzip', 'zlib', 'none'].includes(value);
  return /^[+-]?\d+$/.test(value) && Number(value) >= -1 && Number(value) <= 9;
}

function endpointOf(address: string): Endpoint {
  if (address === '') throw invalidParameter('gelf-address is a required parameter');
  const match = /^(tcp|tcp\+tls|udp|unix|unixgram):\/\/(.*)$/.exec(address);
  if (match === null) throw invalidParameter(`gelf-address should be in form proto://address, got ${address}`);
  const [, scheme, rest = ''] = match;
  if (scheme !== 'udp' && scheme !== 'tcp') throw invalidParameter('gelf: endpoint needs to be TCP or UDP');
  const place = parseHostPort(rest.replace(/\/$/, ''));
  if (place === undefined) throw invalidParameter('gelf: please provide gelf-address as proto://host:port');
  return { kind: scheme, ...place };
}
