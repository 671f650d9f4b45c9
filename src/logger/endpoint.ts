/** Where the messages of a log driver go, from its `…-address` option. */
import { statSync } from 'node:fs';
import { invalidParameter } from '#errdefs/errors.ts';

export interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly skipVerify: boolean;
}

export type Endpoint =
  | { readonly kind: 'udp'; readonly host: string; readonly port: number }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls?: TlsFiles }
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'unixgram'; readonly path: string };

/** As people write it. */
export function endpointText(endpoint: Endpoint): string {
  switch (endpoint.kind) {
    case 'unix':
    case 'unixgram':
      return `${endpoint.kind}://${endpoint.path}`;
    case 'udp':
      return `udp://${endpoint.host}:${endpoint.port}`;
    case 'tcp':
      return `${endpoint.tls === undefined ? 'tcp' : 'tcp+tls'}://${endpoint.host}:${endpoint.port}`;
    default:
      return endpoint satisfies never;
  }
}

/** `host`, `host:port`, `[v6]:port`; undefined when it is none of them, or the port is missing without a default. */
export function parseHostPort(text: string, defaultPort?: number): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:[\]/]*))(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (match === null || port === undefined || port > 65_535) return undefined;
  const host = match[1] ?? match[2] ?? '';
  return { host: host === '' ? 'localhost' : host, port };
}

/** The path of a unix socket that must be there. */
export function existingSocket(path: string): string {
  try {
    statSync(path);
  } catch (cause) {
    throw invalidParameter(`stat ${path}: no such file or directory`, { cause });
  }
  return path;
}
