/**
 * A bridge that nothing is on has no carrier, and programs of the host leave it out. A pair of links gives it one: an end
 * in the bridge, out of which goes nothing that came by another port of it, the other in the host, which has no address and
 * answers nobody.
 */
import { writeFileSync } from 'node:fs';
import { messageOf, systemError } from '#errdefs/errors.ts';
import { createLink } from '#libcontainer/netlink/links.ts';
import {
  deleteLink,
  getLink,
  mutePort,
  setLinkUp,
  setLinkUpUnasked,
  setMaster,
} from '#libcontainer/netlink/rtnetlink.ts';
import { decodeLink } from '#libcontainer/netlink/rtnetlink-decode.ts';
import type { NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { findLink, hasIpv6 } from './bridge-link.ts';
import { deleteLinkAside } from './link-aside.ts';

const namesOf = (suffix: string | undefined): { readonly port: string; readonly end: string } => {
  const own = suffix === undefined ? '' : `-${suffix}`;
  return { port: `berth-u${own}`, end: `berth-v${own}` };
};

/** Idempotent; it comes from another bridge. Errors: system; nothing of it is left then. */
export function giveCarrier(host: NetlinkSocket, bridge: string, suffix: string | undefined): void {
  const { port, end } = namesOf(suffix);
  const master = findLink(host, bridge);
  if (master === undefined) throw systemError(`Cannot give bridge "${bridge}" a carrier: it is not there`);
  if (findLink(host, port)?.master === master.index) return;
  removePair(host, port);
  try {
    // The bridge's own size: a smaller one would become the bridge's.
    host.run(createLink({ name: port, as: { kind: 'veth', peer: end }, mtu: master.mtu }));
    const [inner, outer] = [port, end].map((name) => decodeLink(host.get(getLink({ name }))).index);
    if (inner === undefined || outer === undefined) throw systemError(`link "${end}" is gone again`);
    if (hasIpv6()) {
      for (const name of [port, end]) writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1');
    }
    host.run(setMaster(inner, master.index));
    host.run(mutePort(port));
    host.run(setLinkUpUnasked(outer), setLinkUp(inner));
  } catch (cause) {
    removePair(host, port);
    throw systemError(`Cannot give bridge "${bridge}" a carrier: ${messageOf(cause)}`, { cause });
  }
}

function removePair(host: NetlinkSocket, port: string): void {
  const old = findLink(host, port);
  if (old !== undefined) host.run(deleteLink({ index: old.index }));
}

/** Idempotent. Resolves when the links are gone. */
export async function takeCarrier(host: NetlinkSocket, suffix: string | undefined): Promise<void> {
  const port = findLink(host, namesOf(suffix).port);
  if (port !== undefined) await deleteLinkAside(port.index);
}
