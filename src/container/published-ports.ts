/**
 * Ports that an update publishes or takes back: what becomes of the container's port bindings, and which of the ports that
 * are in force stay. Pure.
 */
import type { PortBinding, PortMap } from '#api/types/network.ts';
import { conflict, invalidParameter } from '#errdefs/errors.ts';

interface Wanted {
  /** '80/tcp' */
  readonly key: string;
  /** Undefined: whatever it is. */
  readonly hostIp: string | undefined;
  readonly hostPort: string | undefined;
}

/** Keys of API clients may be ranges: '8000-8002/tcp'. */
function single(bindings: PortMap | null): Map<string, PortBinding[]> {
  const result = new Map<string, PortBinding[]>();
  for (const [spec, hosts] of Object.entries(bindings ?? {})) {
    const [range = '', protocol = 'tcp'] = spec.split('/');
    const [from = '', to = from] = range.split('-');
    for (let port = Number(from); port <= Number(to); port++) {
      const key = `${port}/${protocol}`;
      result.set(key, [...(result.get(key) ?? []), ...(hosts ?? [])]);
    }
  }
  return result;
}

/** `[IP:][HOSTPORT:]PORT[/PROTOCOL]`, as it was published or as `port` shows it. */
function parseWanted(text: string): Wanted {
  const match =
    /^(?:(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(?=[^/]*:))?(?:(\d*(?:-\d+)?):)?(\d+)(?:\/(tcp|udp|sctp))?$/.exec(text);
  if (match === null) throw invalidParameter(`invalid published port "${text}": want [IP:][HOSTPORT:]PORT[/PROTOCOL]`);
  const [, six, four, hostPort, port = '', protocol = 'tcp'] = match;
  return { key: `${port}/${protocol}`, hostIp: six ?? four, hostPort: hostPort === '' ? undefined : hostPort };
}

/** What is in force now, of which a user may name a port that was given unasked. */
export interface InForce {
  readonly protocol: string;
  readonly hostIp: string;
  readonly hostPort: number;
  readonly port: number;
}

/**
 * The bindings after an update. Errors: invalid-parameter for a port that is not published, conflict for one that is
 * already.
 */
export function changedBindings(
  now: PortMap | null,
  asked: { readonly add: PortMap; readonly remove: readonly string[] },
  inForce: readonly InForce[],
): PortMap {
  const bindings = single(now);
  for (const text of asked.remove) {
    const wanted = parseWanted(text);
    const present = bindings.get(wanted.key) ?? [];
    const goes = meant(wanted, present, inForce);
    const left = present.filter((binding) => !goes.includes(binding));
    if (left.length === present.length) throw invalidParameter(`port ${text} is not published`);
    if (left.length === 0) bindings.delete(wanted.key);
    else bindings.set(wanted.key, left);
  }
  for (const [key, hosts] of single(asked.add)) {
    const present = bindings.get(key) ?? [];
    for (const { HostIp, HostPort } of hosts) {
      const asked = present.some((one) => one.HostIp === HostIp && one.HostPort === HostPort && HostPort !== '');
      const given = inForce.some(
        (one) =>
          `${one.port}/${one.protocol}` === key &&
          String(one.hostPort) === HostPort &&
          (HostIp === '' || HostIp === one.hostIp) &&
          present.some((binding) => holds(binding, one.hostPort)),
      );
      if (asked || given)
        throw conflict(`port ${HostIp === '' ? '' : `${HostIp}:`}${HostPort}:${key} is already published`);
    }
    bindings.set(key, [...present, ...hosts]);
  }
  return Object.fromEntries(bindings);
}

/** Those that were asked for so; else those that were given the port. */
function meant(wanted: Wanted, bindings: readonly PortBinding[], inForce: readonly InForce[]): readonly PortBinding[] {
  const { key, hostIp, hostPort } = wanted;
  const ofAddress = bindings.filter(
    (one) => hostIp === undefined || hostIp === one.HostIp || (isAny(hostIp) && one.HostIp === ''),
  );
  if (hostPort === undefined) return ofAddress;
  const asAsked = ofAddress.filter((one) => one.HostPort === hostPort);
  if (asAsked.length > 0) return asAsked;
  const given = inForce.filter((one) => `${one.port}/${one.protocol}` === key && String(one.hostPort) === hostPort);
  // Of several that any port would do for, one.
  return ofAddress.filter((one) => given.some((port) => holds(one, port.hostPort))).slice(0, 1);
}

/** In an order in which ports that are named to go are kept last, of those that are as good as each other. */
export function leavingLast<P extends InForce>(inForce: readonly P[], remove: readonly string[]): P[] {
  const wanted = remove.map(parseWanted);
  const leaves = (port: P): boolean =>
    wanted.some(({ key, hostPort }) => key === `${port.port}/${port.protocol}` && hostPort === String(port.hostPort));
  return [...inForce.filter((port) => !leaves(port)), ...inForce.filter(leaves)];
}

const isAny = (ip: string): boolean => ip === '0.0.0.0' || ip === '::';

function holds({ HostPort }: PortBinding, port: number): boolean {
  if (HostPort === '') return true;
  const [from = '', to = from] = HostPort.split('-');
  return port >= Number(from) && port <= Number(to);
}

/** A port as it is asked for: the first free one of a range; 0 is any. */
export interface AskedPort {
  readonly protocol: string;
  readonly hostIp: string;
  readonly hostPort: number;
  readonly hostPortEnd: number;
  readonly port: number;
}

/** Which ports stay as they are, which go, and which requests are new. Requests for certain ports come first. */
export function portChanges<A extends AskedPort, P extends InForce>(
  asked: readonly A[],
  inForce: readonly P[],
): { readonly kept: P[]; readonly gone: P[]; readonly added: A[] } {
  const kept = new Set<P>();
  const added = asked.filter((request) => {
    const mine = inForce.filter((port) => !kept.has(port) && answers(port, request));
    // One of each family for one that names no address.
    const families = new Set<boolean>();
    for (const port of mine) {
      const six = port.hostIp.includes(':');
      if (families.has(six)) continue;
      families.add(six);
      kept.add(port);
    }
    return families.size === 0;
  });
  return { kept: [...kept], gone: inForce.filter((port) => !kept.has(port)), added };
}

function answers(port: InForce, request: AskedPort): boolean {
  return (
    port.port === request.port &&
    port.protocol === request.protocol &&
    (request.hostIp === '' || request.hostIp === port.hostIp) &&
    (request.hostPort === 0 || (port.hostPort >= request.hostPort && port.hostPort <= request.hostPortEnd))
  );
}
