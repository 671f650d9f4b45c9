/**
 * A policy has changed: connections that it no longer allows end, the others go on. The kernel forgets the former, so
 * that their next packet is a new connection's, which is refused.
 */
import { networkInterfaces } from 'node:os';
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { allowsFlow, type LearnedName } from '#libcontainer/firewall/egress-flow.ts';
import type { EgressPolicy } from '#libcontainer/firewall/egress-policy.ts';
import { type Flow, forgetFlows } from '#libcontainer/netlink/conntrack.ts';
import {
  addressBytes,
  addressText,
  contains,
  contains6,
  ipv4Number,
  ipv6Number,
  subnet6Of,
  subnetOf,
} from '#libcontainer/netlink/ip.ts';
import { log } from '#pkg/log/log.ts';
import type { Services } from '../services.ts';
import { policiesOf, sendersOf } from './egress.ts';

/** After the rules are in force. Never rejects: what cannot be cut is told. */
export async function cutForbidden(services: Services, record: ContainerRecord): Promise<void> {
  try {
    const learned = await services.names.learned(record.id);
    const host = hostAddresses();
    for (const endpoint of record.endpoints) {
      const policies = policiesOf(services, record, [endpoint]);
      if (policies.length === 0) continue;
      const isGone = (flow: Flow): boolean => isForbidden(flow, { endpoint, policies, learned, host });
      for (const ip of sendersOf([endpoint])) forgetFlows('from', ip, isGone);
    }
  } catch (err) {
    log.error('connections that an egress policy no longer allows go on', { container: record.id, err });
  }
}

interface Judging {
  readonly endpoint: StoredEndpoint;
  readonly policies: readonly EgressPolicy[];
  readonly learned: readonly LearnedName[];
  readonly host: ReadonlySet<string>;
}

function isForbidden(flow: Flow, { endpoint, policies, learned, host }: Judging): boolean {
  const { protocol, to, toPort, answers, answersPort } = flow;
  const withHost = host.has(to);
  // Neighbours are not outside.
  if (!withHost && isNeighbour(endpoint, answers)) return false;
  const asked = { protocol, answers, answersPort, toPort, withHost };
  return !policies.every((policy) => allowsFlow(policy, asked, learned));
}

function isNeighbour({ address, address6 }: StoredEndpoint, ip: string): boolean {
  if (ip.includes(':')) {
    return address6 !== undefined && contains6(subnet6Of(`${address6.ip}/${address6.prefixLength}`), ipv6Number(ip));
  }
  return address !== undefined && contains(subnetOf(`${address.ip}/${address.prefixLength}`), ipv4Number(ip));
}

const hostAddresses = (): Set<string> =>
  new Set(
    Object.values(networkInterfaces()).flatMap((own) =>
      (own ?? []).map(({ address }) => addressText(addressBytes(address.split('%')[0] ?? ''))),
    ),
  );
