/**
 * A pair of links of the host with both ends in its own namespace: what goes out of one comes in by the other. Packets to
 * ports that the host's firewall judges take that way once (firewall/host-firewall-text.ts). Made when the first such port
 * is published, and kept: the next start of the daemon finds it.
 */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { messageOf, systemError } from '#errdefs/errors.ts';
import { BOUNCE, type Bounce } from '#libcontainer/firewall/host-firewall-text.ts';
import {
  addAddress,
  addNeighbour,
  createVeth,
  deleteLink,
  getLink,
  setLinkUp,
  withoutLinkLocal,
} from '#libcontainer/netlink/rtnetlink.ts';
import { decodeLink } from '#libcontainer/netlink/rtnetlink-decode.ts';
import type { NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { findLink, hasIpv6 } from './bridge-link.ts';

const OWN_NAMESPACE = '/proc/thread-self/ns/net';
/** A sender need only be reachable by some link. */
const RP_FILTER_LOOSE = '2';

export const bounceOf = (suffix: string | undefined): Bounce => {
  const end = suffix === undefined ? '' : `-${suffix}`;
  return { out: `berth-o${end}`, back: `berth-i${end}` };
};

export const hasBounce = (host: NetlinkSocket, { out }: Bounce): boolean => findLink(host, out) !== undefined;

/** Errors: system; nothing of it is left then. */
export function ensureBounce(host: NetlinkSocket, { out, back }: Bounce): void {
  if (hasBounce(host, { out, back })) return;
  const namespace = openSync(OWN_NAMESPACE, 'r');
  try {
    host.run(createVeth({ name: out, master: 0, peer: { name: back, mac: BOUNCE.mac, namespace } }));
    const [outIndex, backIndex] = [out, back].map((name) => decodeLink(host.get(getLink({ name }))).index);
    if (outIndex === undefined || backIndex === undefined) throw systemError(`link "${back}" is gone again`);
    writeFileSync(`/proc/sys/net/ipv4/conf/${back}/rp_filter`, RP_FILTER_LOOSE);
    const v6 = hasIpv6();
    for (const name of v6 ? [out, back] : []) writeFileSync(`/proc/sys/net/ipv6/conf/${name}/accept_ra`, '0');
    host.run(
      ...(v6 ? [withoutLinkLocal(outIndex), withoutLinkLocal(backIndex)] : []),
      addAddress({ index: outIndex, ...BOUNCE.out4 }),
      addAddress({ index: backIndex, ...BOUNCE.back4 }),
      setLinkUp(backIndex),
      setLinkUp(outIndex),
      addNeighbour(outIndex, BOUNCE.next4, BOUNCE.mac),
      ...(v6
        ? [addAddress({ index: outIndex, ...BOUNCE.out6 }), addNeighbour(outIndex, BOUNCE.next6, BOUNCE.mac)]
        : []),
    );
  } catch (cause) {
    if (hasBounce(host, { out, back })) host.run(deleteLink({ name: out }));
    throw systemError(`Cannot make the links for publish-policy host-firewall: ${messageOf(cause)}`, { cause });
  } finally {
    closeSync(namespace);
  }
}
