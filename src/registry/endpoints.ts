/**
 * Where a registry can be reached: the servers that stand for it, in the order in which they are tried. An endpoint is
 * plain data, certificates included, so that a Worker can use it.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { invalidParameter } from '#errdefs/errors.ts';
import { type Capability, type HostEntry, readHostsFile } from './hosts-toml.ts';
import { isInsecure, type RegistrySettings } from './settings.ts';

export interface EndpointTls {
  readonly ca: readonly string[];
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly verify: boolean;
}

export interface Endpoint {
  /** Of the API: `https://registry-1.docker.io/v2`. */
  readonly base: string;
  /** Stands for another registry: our credentials are not for it. */
  readonly mirror: boolean;
  readonly capabilities: readonly Capability[];
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: EndpointTls;
}

/** By host: what their names lead to. */
export type HostAddresses = ReadonlyMap<string, readonly string[]>;
const NONE: HostAddresses = new Map();

interface Means extends RegistrySettings {
  readonly addresses: HostAddresses;
}

const HUB = 'docker.io';
const HUB_SERVER = 'registry-1.docker.io';
const ALL: readonly Capability[] = ['pull', 'resolve', 'push'];

/** The hosts whose addresses `endpointsOf` wants to know. Errors: as it. */
export function hostsOf(settings: RegistrySettings, domain: string): string[] {
  const hosts = endpointsOf(settings, domain).map(({ base }) => new URL(base).host);
  return [...new Set(hosts)].filter((host) => host !== HUB_SERVER);
}

/** All endpoints of a registry, `docker.io` or `host[:port]`. Errors: invalid-parameter for a broken hosts.toml. */
export function endpointsOf(given: RegistrySettings, domain: string, addresses: HostAddresses = NONE): Endpoint[] {
  const settings = { ...given, addresses };
  const directory = directoryOf(settings, domain);
  const hosts = directory === undefined ? undefined : readHostsFile(path.join(directory, 'hosts.toml'));
  if (hosts !== undefined) {
    const mirrors = hosts.hosts.map((entry) => fromEntry(settings, entry, domain));
    // Without a server the registry itself is the last.
    const last =
      hosts.server === undefined ? own(settings, domain, directory) : [fromEntry(settings, hosts.server, domain)];
    return [...mirrors, ...last];
  }
  const mirrors = domain === HUB ? settings.mirrors.flatMap((mirror) => mirrorOf(settings, mirror)) : [];
  return [...mirrors, ...own(settings, domain, directory)];
}

function own(settings: Means, domain: string, directory: string | undefined): Endpoint[] {
  const server = domain === HUB ? HUB_SERVER : domain;
  return bySchemes(settings, server, directory ?? directoryOf(settings, server), '', false);
}

/** https, and where nobody insists on it http after it. */
function bySchemes(
  settings: Means,
  server: string,
  directory: string | undefined,
  prefix: string,
  mirror: boolean,
): Endpoint[] {
  const insecure = isInsecure(settings, server, settings.addresses.get(server));
  const tls = { ...certificatesIn(directory), verify: !insecure };
  const common = { mirror, capabilities: mirror ? (['pull', 'resolve'] as const) : ALL, headers: {} };
  const secure = { ...common, base: `https://${server}${prefix}/v2`, tls };
  const plain = { ...common, base: `http://${server}${prefix}/v2`, tls };
  if (!insecure) return [secure];
  return [secure, plain];
}

function mirrorOf(settings: Means, mirror: string): Endpoint[] {
  const url = new URL(/^[a-z]+:\/\//i.test(mirror) ? mirror : `https://${mirror}`);
  const prefix = url.pathname.replace(/\/+$/, '');
  const all = bySchemes(settings, url.host, directoryOf(settings, url.host), prefix, true);
  if (url.protocol === 'http:') {
    const [first] = all;
    return first === undefined ? [] : [{ ...first, base: `http://${url.host}${prefix}/v2` }];
  }
  return all.filter(({ base }) => base.startsWith('https:'));
}

function fromEntry(settings: Means, entry: HostEntry, domain: string): Endpoint {
  const url = new URL(entry.url);
  const prefix = url.pathname.replace(/\/+$/, '');
  const [pair] = entry.client;
  const named = domain === HUB ? [HUB, HUB_SERVER, 'index.docker.io'] : [domain];
  return {
    base: `${url.origin}${prefix}${entry.overridePath || prefix.endsWith('/v2') ? '' : '/v2'}`,
    mirror: !named.includes(url.host),
    capabilities: entry.capabilities,
    headers: entry.headers,
    tls: {
      ca: entry.ca.map(readPem),
      cert: pair === undefined ? undefined : readPem(pair[0]),
      key: pair === undefined ? undefined : readPem(pair[1]),
      verify: !entry.skipVerify && !isInsecure(settings, url.host, settings.addresses.get(url.host)),
    },
  };
}

function directoryOf(settings: RegistrySettings, host: string): string | undefined {
  // A registry's name comes from a reference, which has no slash and no dots alone; this is for the eye.
  if (host.includes('/') || host === '.' || host === '..') return undefined;
  for (const root of settings.certificateDirectories) {
    // containerd's spelling of a port where a colon is not wanted in names.
    for (const name of [host, host.replace(/:([0-9]+)$/, '_$1_')]) {
      const directory = path.join(root, name);
      if (fs.existsSync(directory)) return directory;
    }
    const fallback = path.join(root, '_default');
    if (fs.existsSync(path.join(fallback, 'hosts.toml'))) return fallback;
  }
  return undefined;
}

/** Docker's rule: *.crt are authorities, *.cert and *.key of the same name are ours. Errors: invalid-parameter. */
function certificatesIn(directory: string | undefined): Omit<EndpointTls, 'verify'> {
  const none = { ca: [], cert: undefined, key: undefined };
  if (directory === undefined) return none;
  const names = fs.readdirSync(directory).sort();
  const at = (name: string): string => readPem(path.join(directory, name));
  const ca = names.filter((name) => name.endsWith('.crt')).map(at);
  for (const name of names.filter((n) => n.endsWith('.cert'))) {
    const key = `${name.slice(0, -'.cert'.length)}.key`;
    if (!names.includes(key)) {
      throw invalidParameter(
        `missing key ${key} for client certificate ${name}. CA certificates must use the extension .crt`,
      );
    }
    return { ca, cert: at(name), key: at(key) };
  }
  const lonely = names.find((name) => name.endsWith('.key'));
  if (lonely !== undefined) {
    throw invalidParameter(`missing client certificate ${lonely.slice(0, -'.key'.length)}.cert for key ${lonely}`);
  }
  return { ...none, ca };
}

function readPem(file: string): string {
  return fs.readFileSync(file, 'utf8');
}
