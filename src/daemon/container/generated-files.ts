/**
 * /etc/hosts, /etc/hostname and /etc/resolv.conf of a container: files in its own directory, bound over the image's.
 * They are rewritten at each start, in place once they exist: a running container has the inode.
 */
import * as fs from 'node:fs';
import { DNS_ADDRESS } from '#networkdriver/dns/rewrite.ts';
import { containerNameservers } from '#networkdriver/nameservers.ts';
import { networkNameOf } from './event.ts';
import { pathsOf } from './generated-paths.ts';
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import type { GeneratedFiles } from '#container/spec/mounts.ts';

export interface FilesInput {
  readonly directory: string;
  readonly record: ContainerRecord;
  readonly endpoints: readonly StoredEndpoint[];
  /** It has an embedded DNS server. */
  readonly named?: boolean;
  /** Private names of other containers. */
  readonly links: readonly { readonly ip: string; readonly names: readonly string[] }[];
  /** Host ids of the container's root. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  readonly defaults: {
    readonly dns: readonly string[];
    readonly dnsSearch: readonly string[];
    readonly dnsOptions: readonly string[];
    /** Instead of the host's own file. */
    readonly resolvConf?: string | undefined;
    /** What `host-gateway` stands for; empty: the container's gateway. */
    readonly hostGateways?: readonly string[];
  };
}

/**
 * For a start: where they are, and what writes them. Files that are there already need not be written before the
 * container can see them.
 */
export function generatedFilesOf(input: FilesInput): { readonly files: GeneratedFiles; readonly write: () => void } {
  const files = pathsOf(input.directory);
  const there = [files.hosts, files.hostname, files.resolvConf].every((file) => fs.existsSync(file));
  if (there) return { files, write: () => void rewriteFiles(input) };
  writeGeneratedFiles(input);
  return { files, write: () => undefined };
}

export function writeGeneratedFiles(input: FilesInput): GeneratedFiles {
  fs.mkdirSync(input.directory, { recursive: true, mode: 0o710 });
  return rewriteFiles(input);
}

/** Of a container that has them. */
export function rewriteFiles(input: FilesInput): GeneratedFiles {
  const files = pathsOf(input.directory);
  write(files.hosts, hostsText(input), input.owner);
  write(files.hostname, `${input.record.config.Hostname}\n`, input.owner);
  write(files.resolvConf, resolvConfText(input, hostResolvConf(input.defaults.resolvConf)), input.owner);
  return files;
}

/** The directory is the daemon's; NOFOLLOW all the same, for the container could write to the files. */
function write(file: string, text: string, owner: FilesInput['owner']): void {
  const flags = fs.constants.O_CREAT | fs.constants.O_WRONLY | fs.constants.O_TRUNC | fs.constants.O_NOFOLLOW;
  const fd = fs.openSync(file, flags, 0o644);
  try {
    fs.writeSync(fd, text);
    if (owner !== undefined) fs.fchownSync(fd, owner.uid, owner.gid);
  } finally {
    fs.closeSync(fd);
  }
}

const IPV6_LINES = [
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::\tip6-localnet',
  'ff00::\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
];

/** The container was told to have none: programs would try `localhost` there first. */
function withoutIpv6({ hostConfig }: ContainerRecord): boolean {
  const sysctls = hostConfig.Sysctls ?? {};
  return ['all', 'lo'].some((which) => sysctls[`net.ipv6.conf.${which}.disable_ipv6`] === '1');
}

function hostsText(input: FilesInput): string {
  const { record, endpoints, links } = input;
  const { Hostname: hostname, Domainname: domain } = record.config;
  if (networkNameOf(record) === 'host')
    return withExtra(readOr('/etc/hosts', '127.0.0.1\tlocalhost\n'), record, input.defaults.hostGateways ?? []);
  const ipv6 = !withoutIpv6(record);
  const lines = ['127.0.0.1\tlocalhost', ...(ipv6 ? IPV6_LINES : [])];
  const full = domain === '' ? hostname : `${hostname}.${domain}`;
  const [host = ''] = full.split('.');
  const own = host === full ? full : `${full} ${host}`;
  for (const { address, address6 } of endpoints) {
    for (const ip of [address?.ip, ipv6 ? address6?.ip : undefined]) if (ip !== undefined) lines.push(`${ip}\t${own}`);
  }
  for (const { ip, names } of links) lines.push(`${ip}\t${names.join(' ')}`);
  return withExtra(`${lines.join('\n')}\n`, record, hostGateways(input));
}

function hostGateways({ endpoints, defaults }: FilesInput): readonly string[] {
  if (defaults.hostGateways !== undefined && defaults.hostGateways.length > 0) return defaults.hostGateways;
  const gateways = [...endpoints.map((one) => one.address), ...endpoints.map((one) => one.address6)];
  const [first] = gateways.map((address) => address?.gateway ?? '').filter((gateway) => gateway !== '');
  return first === undefined ? [] : [first];
}

/** `--add-host NAME:IP`; `host-gateway` is the host as the container sees it. */
function withExtra(text: string, record: ContainerRecord, gateways: readonly string[]): string {
  const extra = (record.hostConfig.ExtraHosts ?? []).flatMap((entry) => {
    const at = entry.search(/[:=]/);
    const address = entry.slice(at + 1).replace(/^\[(.*)\]$/, '$1');
    const ips = address === 'host-gateway' ? gateways : [address];
    return ips.map((ip) => `${ip}\t${entry.slice(0, at)}\n`);
  });
  return text + extra.join('');
}

export interface ResolvConf {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

export function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  let search: string[] = [];
  const options: string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/);
    if (keyword === 'nameserver' && words[0] !== undefined) nameservers.push(words[0]);
    else if (keyword === 'search' || keyword === 'domain') search = words;
    else if (keyword === 'options') options.push(...words);
  }
  return { nameservers, search, options };
}

/** `file`: what `resolv-conf` names. */
function hostResolvConf(file: string | undefined): ResolvConf {
  if (file !== undefined) return parseResolvConf(readOr(file, ''));
  const own = parseResolvConf(readOr('/etc/resolv.conf', ''));
  // systemd-resolved listens on the host's loopback only; its upstream servers are in a file of their own.
  if (own.nameservers.length === 1 && own.nameservers[0] === '127.0.0.53') {
    return parseResolvConf(readOr('/run/systemd/resolve/resolv.conf', ''));
  }
  return own;
}

const first = (...lists: (readonly string[] | null)[]): readonly string[] =>
  lists.find((list): list is readonly string[] => list !== null && list.length > 0) ?? [];

/** Servers for what the names of its networks do not answer: asked from the host, whose loopback is in reach. */
export function nameserversOf(
  record: ContainerRecord,
  defaults: Pick<FilesInput['defaults'], 'dns' | 'resolvConf'>,
): string[] {
  const own = parseResolvConf(readOr(defaults.resolvConf ?? '/etc/resolv.conf', '')).nameservers;
  return [...first(record.hostConfig.Dns, defaults.dns, own)];
}

function resolvConfText(input: FilesInput, host: ResolvConf): string {
  const { hostConfig } = input.record;
  const named = input.named === true;
  const shared = networkNameOf(input.record) === 'host';
  // A server on the host's loopback is out of reach from a namespace of its own.
  const reachable = host.nameservers.filter((ip) => shared || !(ip.startsWith('127.') || ip === '::1'));
  const configured = shared ? host.nameservers : containerNameservers(host.nameservers);
  const ofNetwork = input.defaults.resolvConf === undefined ? (input.endpoints[0]?.nameservers ?? []) : configured;
  const servers = named ? [DNS_ADDRESS] : first(hostConfig.Dns, input.defaults.dns, ofNetwork, reachable);
  const search = first(hostConfig.DnsSearch, input.defaults.dnsSearch, host.search).filter((d) => d !== '.');
  const asked = first(hostConfig.DnsOptions, input.defaults.dnsOptions, host.options);
  // As with Docker: a name without a dot is first asked for as it is.
  const options = named && !asked.some((option) => option.startsWith('ndots:')) ? [...asked, 'ndots:0'] : asked;
  const lines = [
    ...servers.map((ip) => `nameserver ${ip}`),
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
  ];
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function readOr(file: string, absent: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return absent;
  }
}
