/**
 * What a registry server can be told: the same words as flags of `berth registry serve` and as keys of `registry` in
 * daemon.json. The result is plain data, because the daemon hands it to a Worker.
 */
import * as path from 'node:path';
import { invalidParameter } from '#errdefs/errors.ts';
import { parseBytes } from '#pkg/units/size.ts';
import { parseDuration } from '#pkg/units/duration.ts';

export type OptionKind = 'text' | 'texts' | 'flag';

export interface OptionSpec {
  readonly kind: OptionKind;
  readonly help: string;
  /** Shown in help. */
  readonly initial?: string;
}

export const REGISTRY_OPTIONS = {
  'anonymous-pull': { kind: 'flag', help: 'Let everybody read; writing needs a user' },
  'blob-size-max': { kind: 'text', help: 'Largest blob that is taken', initial: '64g' },
  'gc-grace': { kind: 'text', help: 'What was used so recently is not collected', initial: '1h' },
  'gc-interval': { kind: 'text', help: 'Time between two collections; 0: never', initial: '24h' },
  'gc-untagged': { kind: 'flag', help: 'Collect manifests without a tag too' },
  htpasswd: { kind: 'text', help: 'File of users with bcrypt hashes (htpasswd -B)' },
  listen: { kind: 'text', help: 'Address and port to listen on', initial: '127.0.0.1:5000' },
  'no-delete': { kind: 'flag', help: 'Refuse to delete manifests, tags and blobs' },
  'no-page': { kind: 'flag', help: 'Do not serve the page that lists repositories' },
  proxy: { kind: 'texts', help: 'Cache a registry: URL, or PREFIX=URL for repositories below a prefix' },
  'proxy-credentials': { kind: 'text', help: "File with the upstreams' credentials, as docker's config.json" },
  'proxy-fresh': { kind: 'text', help: 'How long a tag is served without asking upstream', initial: '1m' },
  'proxy-keep': { kind: 'text', help: 'Forget what has not been asked for so long; 0: keep', initial: '720h' },
  'read-only': { kind: 'flag', help: 'Refuse everything that writes' },
  realm: { kind: 'text', help: 'Name shown to users when they log in', initial: 'Berth registry' },
  root: { kind: 'text', help: 'Where blobs and records are kept', initial: '/var/lib/berth-registry' },
  'tls-cert': { kind: 'text', help: 'Certificate to serve TLS with (PEM)' },
  'tls-client-ca': { kind: 'text', help: 'Only clients with a certificate of this authority may connect' },
  'tls-key': { kind: 'text', help: 'Key of the certificate (PEM)' },
  'token-issuer': { kind: 'text', help: 'Issuer that tokens must name' },
  'token-key': { kind: 'text', help: 'Certificates, public keys or JWKS that tokens are signed with' },
  'token-realm': { kind: 'text', help: 'URL of the token service' },
  'token-service': { kind: 'text', help: 'Service that tokens must be for' },
} as const satisfies Readonly<Record<string, OptionSpec>>;

export type RegistryOption = keyof typeof REGISTRY_OPTIONS;
export type RegistryOptionValues = Readonly<Record<string, unknown>>;

export interface TokenConfig {
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  readonly keyFile: string;
}

export interface ProxyConfig {
  /** '' for all repositories. */
  readonly prefix: string;
  readonly url: string;
}

export interface RegistryConfig {
  readonly root: string;
  readonly hostname: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string; readonly clientCa: string | undefined } | undefined;
  readonly realm: string;
  readonly htpasswd: string | undefined;
  readonly token: TokenConfig | undefined;
  readonly anonymousPull: boolean;
  readonly readOnly: boolean;
  readonly allowDelete: boolean;
  readonly page: boolean;
  readonly blobBytesMax: number;
  readonly graceMs: number;
  readonly collectEveryMs: number;
  readonly collectUntagged: boolean;
  readonly proxies: readonly ProxyConfig[];
  readonly proxyCredentials: string | undefined;
  readonly proxyFreshMs: number;
  readonly proxyKeepMs: number;
}

/** Errors: invalid-parameter naming the option. `root`: where it lies when nothing is said. */
export function registryConfigOf(values: RegistryOptionValues, root?: string): RegistryConfig {
  for (const name of Object.keys(values)) {
    if (!Object.hasOwn(REGISTRY_OPTIONS, name)) throw invalidParameter(`unknown option of the registry: "${name}"`);
  }
  const text = (name: RegistryOption): string | undefined => {
    const value = values[name];
    const spec: OptionSpec = REGISTRY_OPTIONS[name];
    if (value === undefined || value === '') return spec.initial;
    if (typeof value !== 'string') throw wrong(name, 'must be a string');
    return value;
  };
  const flag = (name: RegistryOption): boolean => {
    const value = values[name];
    if (value !== undefined && typeof value !== 'boolean') throw wrong(name, 'must be true or false');
    return value === true;
  };
  const file = (name: RegistryOption): string | undefined => {
    const value = text(name);
    return value === undefined ? undefined : path.resolve(value);
  };
  const durationMs = (name: RegistryOption): number => {
    const value = text(name) ?? '0';
    try {
      return Number(parseDuration(value) / 1_000_000n);
    } catch (cause) {
      throw invalidParameter(`invalid value for "${name}": ${JSON.stringify(value)} is no duration`, { cause });
    }
  };
  const token = tokenOf(text('token-realm'), text('token-service'), text('token-issuer'), file('token-key'));
  const htpasswd = file('htpasswd');
  if (token !== undefined && htpasswd !== undefined) {
    throw invalidParameter('invalid value for "htpasswd": a registry has users or a token service, not both');
  }
  const proxies = textsOf(values['proxy']).map(proxyOf);
  const given = values['root'] === undefined || values['root'] === '' ? root : undefined;
  return {
    root: path.resolve(given ?? text('root') ?? ''),
    ...listenOf(text('listen') ?? ''),
    tls: tlsOf(file('tls-cert'), file('tls-key'), file('tls-client-ca')),
    realm: text('realm') ?? '',
    htpasswd,
    token,
    anonymousPull: flag('anonymous-pull'),
    readOnly: flag('read-only'),
    allowDelete: !flag('no-delete'),
    page: !flag('no-page'),
    blobBytesMax: sizeOf(text('blob-size-max') ?? ''),
    graceMs: durationMs('gc-grace'),
    collectEveryMs: durationMs('gc-interval'),
    collectUntagged: flag('gc-untagged'),
    proxies,
    proxyCredentials: file('proxy-credentials'),
    proxyFreshMs: durationMs('proxy-fresh'),
    proxyKeepMs: durationMs('proxy-keep'),
  };
}

const wrong = (name: string, why: string) => invalidParameter(`invalid value for "${name}": ${why}`);

function textsOf(value: unknown): string[] {
  const list = value === undefined ? [] : typeof value === 'string' ? [value] : value;
  if (!Array.isArray(list) || !list.every((entry) => typeof entry === 'string')) {
    throw wrong('proxy', 'must be a list of strings');
  }
  return list;
}

/** `host:port`, `[::1]:port`, `:port` for all addresses. */
function listenOf(text: string): { hostname: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw wrong('listen', `${JSON.stringify(text)} is no address with a port`);
  const hostname = match[1] ?? match[2] ?? '';
  return { hostname: hostname === '' ? '::' : hostname, port };
}

function tlsOf(cert: string | undefined, key: string | undefined, clientCa: string | undefined): RegistryConfig['tls'] {
  if (cert === undefined && key === undefined && clientCa === undefined) return undefined;
  if (cert === undefined || key === undefined) throw wrong('tls-cert', 'TLS needs "tls-cert" and "tls-key"');
  return { cert, key, clientCa };
}

function tokenOf(
  realm: string | undefined,
  service: string | undefined,
  issuer: string | undefined,
  keyFile: string | undefined,
): TokenConfig | undefined {
  if ([realm, service, issuer, keyFile].every((value) => value === undefined)) return undefined;
  if (realm === undefined || service === undefined || issuer === undefined || keyFile === undefined) {
    throw wrong('token-realm', 'tokens need "token-realm", "token-service", "token-issuer" and "token-key"');
  }
  return { realm, service, issuer, keyFile };
}

function sizeOf(text: string): number {
  const bytes = parseBytes(text);
  if (bytes <= 0) throw wrong('blob-size-max', `${JSON.stringify(text)} is no size`);
  return bytes;
}

/** `https://host`, or `ghcr.io=https://ghcr.io`. */
function proxyOf(text: string): ProxyConfig {
  const match = /^(?:([a-z0-9][a-z0-9._/-]*)=)?(https?:\/\/[^\s?#@]+?)\/*$/.exec(text);
  if (match === null) throw wrong('proxy', `${JSON.stringify(text)} is neither URL nor PREFIX=URL`);
  return { prefix: match[1] ?? '', url: match[2] ?? '' };
}
