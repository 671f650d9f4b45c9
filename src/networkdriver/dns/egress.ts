/**
 * Names and egress policies, in the DNS Worker: what a container may ask for, and which addresses become reachable since a
 * name led to them. Nothing else opens an address, so an answer is passed on only after the kernel knows of it.
 */
import { knownBatch, type KnownAddress } from '#libcontainer/firewall/batch.ts';
import { type EgressPolicy, type EgressProtocol, reachOfName } from '#libcontainer/firewall/egress-policy.ts';
import type { LearnedName } from '#libcontainer/firewall/egress-flow.ts';
import { netfilterSocket } from '#libcontainer/netlink/netfilter.ts';
import { addressText } from '#libcontainer/netlink/ip.ts';
import { log } from '#pkg/log/log.ts';
import { readAddresses } from './message.ts';

/** A container's policies, and the addresses that it sends from. */
export interface EgressView {
  readonly table: string;
  readonly policies: readonly EgressPolicy[];
  readonly ips: readonly string[];
}

/** Programs keep an address for longer than they were told. */
const SECONDS_MIN = 300;
const SECONDS_MAX = 86_400;
const ADDRESSES_MAX = 32;
const NAMES_MAX = 2_000;
const BATCH_MAX = 100;
const PROTOCOLS: readonly EgressProtocol[] = ['tcp', 'udp', 'sctp'];

/** The host's own and its link's neighbours (cloud metadata among them) are nothing that a name of others may open. */
const NEVER: readonly RegExp[] = [
  /^0\./,
  /^127\./,
  /^169\.254\./,
  /^2(2[4-9]|[3-5]\d)\./,
  /^::1?$/,
  /^fe[89ab]/,
  /^ff/,
  /^::ffff:/,
];

interface Learned {
  readonly name: string;
  readonly address: string;
  readonly until: number;
}

export class EgressNames {
  /** Of each container, by name and address. */
  readonly #learned = new Map<string, Map<string, Learned>>();

  isAllowed(view: EgressView | undefined, name: string): boolean {
    return view === undefined || reachOfName(view.policies, name).allowed;
  }

  /** Opens what the answer to an allowed name leads to. Errors: NetlinkError when the kernel does not take it. */
  learn(container: string, view: EgressView, name: string, answer: Uint8Array): void {
    const { addresses, ttlSeconds } = readAddresses(answer);
    if (addresses.length === 0) return;
    const seconds = Math.min(SECONDS_MAX, Math.max(SECONDS_MIN, ttlSeconds));
    const learned = addresses
      .slice(0, ADDRESSES_MAX)
      .map((bytes) => addressText(bytes))
      .filter((address) => !NEVER.some((pattern) => pattern.test(address)))
      .map((address) => ({ name, address, until: performance.now() + 1000 * seconds }));
    const mine = this.#learned.get(container) ?? new Map<string, Learned>();
    this.#learned.set(container, mine);
    for (const one of learned) {
      const key = `${one.name} ${one.address}`;
      mine.delete(key);
      mine.set(key, one);
      const [oldest] = mine.keys();
      if (mine.size > NAMES_MAX && oldest !== undefined) mine.delete(oldest);
    }
    this.#open(view, learned);
  }

  /** The policy has changed, or others have emptied the sets: what is still allowed is opened again. */
  again(container: string, view: EgressView | undefined): void {
    const mine = this.#learned.get(container);
    if (mine === undefined) return;
    if (view === undefined) {
      this.#learned.delete(container);
      return;
    }
    const now = performance.now();
    for (const [key, { name }] of mine) {
      if (!reachOfName(view.policies, name).allowed) mine.delete(key);
    }
    try {
      this.#open(
        view,
        [...mine.values()].filter(({ until }) => until >= now),
      );
    } catch (err) {
      log.warn('addresses of names are not open any more', { container, err });
    }
  }

  /** Also what is no longer open: connections to it go on. */
  learnedBy(container: string): LearnedName[] {
    return [...(this.#learned.get(container)?.values() ?? [])].map(({ name, address }) => ({ name, address }));
  }

  forget(container: string): void {
    this.#learned.delete(container);
  }

  #open(view: EgressView, learned: readonly Learned[]): void {
    const known = learned.flatMap((one) => knownAddresses(view, one));
    for (let at = 0; at < known.length; at += BATCH_MAX) {
      netfilterSocket().runBatch(knownBatch(view.table, known.slice(at, at + BATCH_MAX)));
    }
  }
}

function knownAddresses({ policies, ips }: EgressView, { name, address, until }: Learned): KnownAddress[] {
  // Where nothing is refused unless it is named there is nothing to open.
  if (!policies.some(({ refusesRest }) => refusesRest)) return [];
  const reach = reachOfName(policies, name);
  if (!reach.allowed) return [];
  const seconds = Math.max(1, Math.ceil((until - performance.now()) / 1000));
  const six = address.includes(':');
  const from = ips.filter((ip) => ip.includes(':') === six);
  if (reach.ports === undefined) return from.map((ip) => ({ from: ip, to: address, seconds }));
  return from.flatMap((ip) =>
    (reach.ports ?? []).flatMap(({ protocol, first, last }) =>
      Array.from({ length: last - first + 1 }, (_, i) => first + i).flatMap((number) =>
        (protocol === undefined ? PROTOCOLS : [protocol]).map((one) => ({
          from: ip,
          to: address,
          port: { protocol: one, number },
          seconds,
        })),
      ),
    ),
  );
}
