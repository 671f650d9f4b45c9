/**
 * Name servers that a container can reach. A server on the host's loopback cannot be: it is left out, and when nothing
 * remains Docker's words stand in (8.8.8.8, 8.8.4.4). systemd-resolved keeps its upstream servers in a file of its own.
 */
import { readFileSync } from 'node:fs';

const RESOLV_CONF = '/etc/resolv.conf';
const RESOLVED_STUB = '127.0.0.53';
const RESOLVED_CONF = '/run/systemd/resolve/resolv.conf';
const FALLBACK = ['8.8.8.8', '8.8.4.4'] as const;

export function parseNameservers(text: string): string[] {
  return text.split('\n').flatMap((line) => /^nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
}

const isLoopback = (ip: string): boolean => ip.startsWith('127.') || ip === '::1';
/** A zone (`fe80::1%eth0`) means nothing in another namespace, and the bridge has no IPv6. */
const isReachable = (ip: string): boolean => !isLoopback(ip) && !ip.includes('%') && !ip.includes(':');

/** Servers of the host as they are in `read`. */
export function hostNameservers(read: (path: string) => string = readOrEmpty): string[] {
  const own = parseNameservers(read(RESOLV_CONF));
  const stub = own.length === 1 && own[0] === RESOLVED_STUB;
  return stub ? parseNameservers(read(RESOLVED_CONF)) : own;
}

/** Servers for a container in a namespace of its own. */
export function containerNameservers(host: readonly string[]): readonly string[] {
  const reachable = host.filter(isReachable);
  return reachable.length > 0 ? reachable : FALLBACK;
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // no file is no server
  }
}
