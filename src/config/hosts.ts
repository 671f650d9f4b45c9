/** Where the API listens: `unix://`, `tcp://` (with TLS, or on loopback only) and `fd://` (sockets made by systemd). */
import { forbidden, invalidParameter } from '#errdefs/errors.ts';

export type HostSpec =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly hostname: string; readonly port: number; readonly tls: boolean }
  | { readonly kind: 'fd'; readonly name: string };

export interface TlsSettings {
  /** 'none': plain TCP; 'server': clients check us; 'mutual': we check clients too. */
  readonly mode: 'none' | 'server' | 'mutual';
  readonly caCert: string;
  readonly cert: string;
  readonly key: string;
}

export const DEFAULT_SOCKET = '/run/berth.sock';
const PORT_PLAIN = 2375;
const PORT_TLS = 2376;
const SUN_PATH_MAX = 107;

export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(hostname);
}

/** `HOST:PORT`; without a host it is loopback: who wants more says so. Errors: invalid-parameter. */
export function metricsAddressOf(text: string | undefined): { hostname: string; port: number } | undefined {
  if (text === undefined) return undefined;
  const match = /^(?:tcp:\/\/)?(\[[0-9a-fA-F:.]+\]|[^:/\s]*):([0-9]{1,5})$/.exec(text.trim());
  const port = Number(match?.[2]);
  if (match === null || port > 65535) {
    throw invalidParameter(`invalid value for "metrics-addr": "${text}" must be HOST:PORT`);
  }
  return { hostname: (match[1] ?? '').replace(/^\[|\]$/g, '') || '127.0.0.1', port };
}

/** Errors: invalid-parameter; forbidden for TCP that anybody on the network could use. */
export function parseHost(text: string, tls: TlsSettings): HostSpec {
  // As dockerd: an address without a scheme is one of TCP.
  const whole = /^[^/\s]*:\d{1,5}$/.test(text.trim()) ? `tcp://${text.trim()}` : text.trim();
  const match = /^([a-z]+):\/\/(.*)$/.exec(whole);
  if (match === null) throw invalidParameter(`invalid bind address "${text}": must be unix://, tcp:// or fd://`);
  const [, scheme = '', rest = ''] = match;
  switch (scheme) {
    case 'unix':
      return { kind: 'unix', path: unixPath(text, rest) };
    case 'fd':
      return { kind: 'fd', name: rest };
    case 'tcp':
      return tcp(text, rest, tls);
    default:
      throw invalidParameter(`invalid bind address "${text}": unsupported protocol "${scheme}"`);
  }
}

function unixPath(text: string, rest: string): string {
  const path = rest === '' ? DEFAULT_SOCKET : rest;
  if (!path.startsWith('/')) throw invalidParameter(`invalid bind address "${text}": the path must be absolute`);
  if (Buffer.byteLength(path) > SUN_PATH_MAX) {
    throw invalidParameter(`invalid bind address "${text}": a socket's path has at most ${SUN_PATH_MAX} bytes`);
  }
  return path;
}

function tcp(text: string, rest: string, tls: TlsSettings): HostSpec {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:/\s]*)(?::([0-9]+))?\/?$/.exec(rest);
  if (match === null) throw invalidParameter(`invalid bind address "${text}": must be tcp://HOST:PORT`);
  const hostname = (match[1] ?? '').replace(/^\[|\]$/g, '') || '127.0.0.1';
  const secure = tls.mode !== 'none';
  const port = match[2] === undefined ? (secure ? PORT_TLS : PORT_PLAIN) : Number(match[2]);
  if (port > 65535) throw invalidParameter(`invalid bind address "${text}": port ${port} is out of range`);
  if (tls.mode !== 'mutual' && !isLoopback(hostname)) {
    throw forbidden(
      `Cannot listen on "${text}" without --tlsverify: whoever reaches it is root on this host; ` +
        'use --tlsverify, or a loopback address',
    );
  }
  return { kind: 'tcp', hostname, port, tls: secure };
}
