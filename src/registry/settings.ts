/** How this host speaks to registries: what the daemon's configuration says, as plain data that also Workers get. */
import { BlockList, isIP } from 'node:net';

export interface ProxySettings {
  /** For `http:` and `https:` registries; '' for none. */
  readonly http: string;
  readonly https: string;
  /** Hosts, domains (`.example.com`), addresses, CIDRs, `*`; with or without a port. */
  readonly none: readonly string[];
}

export interface RegistrySettings {
  /** Hosts, host:port and CIDRs that may speak without TLS or with certificates of nobody. */
  readonly insecureRegistries: readonly string[];
  /** Of Docker Hub. */
  readonly mirrors: readonly string[];
  /** Each may have HOST/{*.crt, *.cert, *.key, hosts.toml}; the first that has the host decides. */
  readonly certificateDirectories: readonly string[];
  readonly proxies: ProxySettings;
  /** Layers of one daemon at a time. */
  readonly downloadsMax: number;
  readonly uploadsMax: number;
  /** Of one blob, without a byte in between. */
  readonly attemptsMax: number;
  /** Blobs from this size on are fetched in ranges, several at a time. */
  readonly rangesFrom: number;
}

export const defaultRegistrySettings: RegistrySettings = {
  insecureRegistries: [],
  mirrors: [],
  certificateDirectories: ['/etc/berth/certs.d', '/etc/docker/certs.d'],
  proxies: { http: '', https: '', none: [] },
  downloadsMax: 3,
  uploadsMax: 5,
  attemptsMax: 5,
  rangesFrom: 64 << 20,
};

/** The runtime's own `fetch` would use them also where the configuration wants none. For each thread. */
export function ignoreEnvironmentProxies(): void {
  for (const name of ['http_proxy', 'https_proxy', 'all_proxy']) {
    delete process.env[name];
    delete process.env[name.toUpperCase()];
  }
}

/** `localhost`, `127.0.0.1:5000`, `[::1]:5000`: the machine itself needs no TLS. */
export function isLoopback(host: string): boolean {
  const name = hostnameOf(host);
  return name === 'localhost' || name.endsWith('.localhost') || name === '::1' || /^127(?:\.[0-9]{1,3}){3}$/.test(name);
}

/** Without port and brackets, in lower case. */
export function hostnameOf(host: string): string {
  const bracketed = /^\[([^\]]*)\](?::[0-9]+)?$/.exec(host);
  if (bracketed !== null) return (bracketed[1] ?? '').toLowerCase();
  // More than one colon without brackets is an address.
  if (host.split(':').length > 2) return host.toLowerCase();
  return host.replace(/:[0-9]+$/, '').toLowerCase();
}

/** Whether a registry is trusted without TLS. `addresses`: those that its name leads to. */
export function isInsecure(settings: RegistrySettings, host: string, addresses: readonly string[] = []): boolean {
  if (isLoopback(host) || addresses.some((address) => isLoopback(address))) return true;
  const name = hostnameOf(host);
  return settings.insecureRegistries.some((entry) => {
    if (entry.includes('/')) return [name, ...addresses].some((address) => inCidr(entry, address));
    const wanted = entry.toLowerCase();
    return wanted === host.toLowerCase() || wanted === name;
  });
}

function inCidr(cidr: string, address: string): boolean {
  const [network = '', prefix = ''] = cidr.split('/');
  const family = isIP(network);
  if (family === 0 || isIP(address) !== family || !/^[0-9]{1,3}$/.test(prefix)) return false;
  const bits = Number(prefix);
  if (bits > (family === 4 ? 32 : 128)) return false;
  const list = new BlockList();
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  list.addSubnet(network, bits, kind);
  return list.check(address, kind);
}

/** The proxy for a URL; undefined: directly. Never for the machine itself, as Go does it. */
export function proxyFor(proxies: ProxySettings, url: URL): string | undefined {
  const proxy = url.protocol === 'https:' ? proxies.https : proxies.http;
  if (proxy === '' || isLoopback(url.host)) return undefined;
  const name = hostnameOf(url.host);
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  for (const given of proxies.none) {
    const entry = given.trim().toLowerCase();
    if (entry === '') continue;
    if (entry === '*') return undefined;
    if (entry.includes('/')) {
      if (inCidr(entry, name)) return undefined;
      continue;
    }
    const withPort = /^(.*):([0-9]+)$/.exec(entry);
    const bare = withPort !== null && isIP(entry) === 0 ? (withPort[1] ?? '') : entry;
    if (withPort !== null && isIP(entry) === 0 && withPort[2] !== port) continue;
    const domain = hostnameOf(bare).replace(/^\*?\./, '');
    // `.example.com` means what is below it, `example.com` both.
    if (name.endsWith(`.${domain}`) || (!/^\*?\./.test(bare) && name === domain)) return undefined;
  }
  return /^[a-z0-9]+:\/\//i.test(proxy) ? proxy : `http://${proxy}`;
}
