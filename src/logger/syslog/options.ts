/** Options of the syslog driver, in dockerd's words. */
import { existsSync } from 'node:fs';
import { invalidParameter } from '#errdefs/errors.ts';
import { existingSocket, type Endpoint, parseHostPort } from '../endpoint.ts';
import { type LogOptions, parseBool } from '../option-values.ts';
import { attributeOptions, checkAttributeOptions } from '../subject.ts';

export type SyslogFormat = 'unix' | 'rfc3164' | 'rfc5424' | 'rfc5424micro';

export interface SyslogSettings {
  readonly driver: 'syslog';
  readonly endpoint: Endpoint;
  readonly format: SyslogFormat;
  /** Already in its place: a severity is added to it. */
  readonly facility: number;
}

const known = new Set<string>([
  'syslog-address',
  'syslog-facility',
  'syslog-tls-ca-cert',
  'syslog-tls-cert',
  'syslog-tls-key',
  'syslog-tls-skip-verify',
  'syslog-format',
  'tag',
  ...attributeOptions,
]);

const DEFAULT_PORT = 514;
const LOCAL_SOCKETS = ['/dev/log', '/var/run/syslog', '/var/run/log'];
const DAEMON = 3;

const facilities: readonly string[] = [
  ...['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron', 'authpriv', 'ftp'],
];
const LOCAL0 = 16;

/** Errors: invalid-parameter. */
export function syslogSettings(options: LogOptions): SyslogSettings {
  for (const name of Object.keys(options)) {
    if (!known.has(name)) throw invalidParameter(`unknown log opt '${name}' for syslog log driver`);
  }
  checkAttributeOptions(options);
  const endpoint = endpointOf(options);
  return {
    driver: 'syslog',
    endpoint,
    facility: facilityOf(options['syslog-facility']) * 8,
    format: formatOf(options),
  };
}

function endpointOf(options: LogOptions): Endpoint {
  const address = options['syslog-address'] ?? '';
  // The local daemon listens for datagrams; which of its paths there is, is looked for again whenever it is connected to.
  if (address === '') return { kind: 'unixgram', path: LOCAL_SOCKETS.find((path) => existsSync(path)) ?? '/dev/log' };
  const match = /^([a-z0-9+.-]+):\/\/(.*)$/i.exec(address);
  const known = ['tcp', 'tcp+tls', 'udp', 'unix', 'unixgram'].includes(match?.[1] ?? '');
  if (match !== null && !known) throw invalidParameter(`unsupported scheme: '${match[1]}'`);
  if (match === null) throw invalidParameter(`syslog-address should be in form proto://address, got ${address}`);
  const [, scheme = '', rest = ''] = match;
  if (scheme === 'unix' || scheme === 'unixgram') return { kind: scheme, path: existingSocket(rest) };
  const place = parseHostPort(rest.replace(/\/$/, ''), DEFAULT_PORT);
  if (place === undefined) throw invalidParameter(`syslog-address should be in form proto://address, got ${address}`);
  if (scheme === 'udp') return { kind: 'udp', ...place };
  if (scheme === 'tcp') return { kind: 'tcp', ...place };
  const skip = options['syslog-tls-skip-verify'];
  return {
    kind: 'tcp',
    ...place,
    tls: {
      ca: options['syslog-tls-ca-cert'] ?? '',
      cert: options['syslog-tls-cert'] ?? '',
      key: options['syslog-tls-key'] ?? '',
      // As dockerd: its presence counts, unless it says no.
      skipVerify: skip !== undefined && (skip === '' || parseBool(skip)),
    },
  };
}

function facilityOf(text: string | undefined): number {
  if (text === undefined || text === '') return DAEMON;
  const named = facilities.indexOf(text);
  if (named >= 0) return named;
  const local = /^local([0-7])$/.exec(text);
  if (local !== null) return LOCAL0 + Number(local[1]);
  if (/^\d+$/.test(text) && Number(text) <= 23) return Number(text);
  throw invalidParameter('invalid syslog facility');
}

function formatOf(options: LogOptions): SyslogFormat {
  switch (options['syslog-format'] ?? '') {
    case '':
      return 'unix';
    case 'rfc3164':
      return 'rfc3164';
    case 'rfc5424':
      return 'rfc5424';
    case 'rfc5424micro':
      return 'rfc5424micro';
    default:
      throw invalidParameter('Invalid syslog format');
  }
}
