/**
 * The link of the host on which macvlan and ipvlan links stand: one that is there, a VLAN of one that is there
 * ('eth0.10'), or a link of the network's own that leads nowhere. What we make carries a note in its alias, so that it is
 * known as ours over restarts; it goes with the last network that stands on it.
 */
import { invalidParameter, messageOf, notImplemented, systemError } from '#errdefs/errors.ts';
import { createLink, finishLink, type LinkKind, probeKind } from '#libcontainer/netlink/links.ts';
import { deleteLink, setLinkUp } from '#libcontainer/netlink/rtnetlink.ts';
import type { Link } from '#libcontainer/netlink/rtnetlink-decode.ts';
import { isNetlinkErrno, NetlinkError, type NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { log } from '#pkg/log/log.ts';
import { findLink } from '../bridge-link.ts';
import { type DirectKind, vlanOf } from './options.ts';

/** Names of links hold 15 characters. */
const ID_DIGITS = 11;

export const aliasOf = (owner: string): string => `berth: made by ${owner}`;

/** Errors: not-implemented naming what the kernel lacks. */
export function checkKernelHas(host: NetlinkSocket, kind: DirectKind | 'vlan'): void {
  try {
    host.run(probeKind(kind));
  } catch (error) {
    if (isNetlinkErrno(error, 'ENOTSUP', 'EOPNOTSUPP')) {
      const option = kind === 'vlan' ? 'VLAN_8021Q' : kind.toUpperCase();
      throw notImplemented(`this kernel has no ${kind} links (CONFIG_${option})`, { cause: error });
    }
    // What it refuses for another reason it has.
    if (!(error instanceof NetlinkError)) throw error;
  }
}

/** Name of the parent of a network that names none. */
export const ownParentName = (kind: DirectKind, networkId: string): string =>
  `${kind === 'macvlan' ? 'dm' : 'di'}-${networkId.slice(0, ID_DIGITS)}`;

export interface ParentWish {
  readonly kind: DirectKind;
  readonly networkId: string;
  readonly parent: string | undefined;
  /** Goes into the alias of what is made. */
  readonly owner: string;
}

/** Errors: invalid-parameter when the parent is not there; not-implemented naming what the kernel lacks. */
export function ensureParent(host: NetlinkSocket, wish: ParentWish): Link {
  const name = wish.parent ?? ownParentName(wish.kind, wish.networkId);
  const unfinished = findLink(host, temporaryName(wish.networkId));
  if (unfinished !== undefined) host.run(deleteLink({ index: unfinished.index }));
  const found = findLink(host, name) ?? (wish.parent === undefined ? makeOwn(host, name, wish) : makeVlan(host, wish));
  if (!found.up && found.alias === aliasOf(wish.owner)) host.run(setLinkUp(found.index));
  return found;
}

function makeVlan(host: NetlinkSocket, wish: ParentWish): Link {
  const { parent = '' } = wish;
  const vlan = vlanOf(parent);
  if (vlan === undefined) {
    throw invalidParameter(`invalid subinterface vlan name ${parent}, example formatting is eth0.10`);
  }
  const base = findLink(host, vlan.base);
  if (base === undefined) {
    throw invalidParameter(`the requested parent interface ${vlan.base} was not found on the Docker host`);
  }
  checkKernelHas(host, 'vlan');
  return make(host, parent, { as: { kind: 'vlan', id: vlan.id }, parent: base.index, wish });
}

/** A dummy; where the kernel has none a pair of links does, once both of its ends are up. */
function makeOwn(host: NetlinkSocket, name: string, wish: ParentWish): Link {
  try {
    return make(host, name, { as: { kind: 'dummy' }, wish });
  } catch (error) {
    if (!(error instanceof Error) || !isNetlinkErrno(error.cause, 'ENOTSUP', 'EOPNOTSUPP')) throw error;
    return make(host, name, { as: { kind: 'veth', peer: `${name.slice(0, 1)}p${name.slice(2)}` }, wish });
  }
}

/** Under a name that is known as ours until its note is on it: a crash between the two leaves what `ensureParent` sweeps. */
function make(
  host: NetlinkSocket,
  name: string,
  {
    as,
    parent,
    wish: { networkId, owner },
  }: { readonly as: LinkKind; readonly parent?: number; readonly wish: ParentWish },
): Link {
  const temporary = temporaryName(networkId);
  try {
    host.run(createLink({ name: temporary, as, ...(parent === undefined ? {} : { parent }) }));
  } catch (cause) {
    throw systemError(`Cannot make parent link "${name}": ${messageOf(cause)}`, { cause });
  }
  const { index } = linkNamed(host, temporary);
  try {
    host.run(finishLink(index, name, aliasOf(owner)));
    if (as.kind === 'veth') host.run(setLinkUp(linkNamed(host, as.peer).index));
    log.info('made a parent link', { link: name, kind: as.kind });
    return linkNamed(host, name);
  } catch (error) {
    host.run(deleteLink({ index }));
    throw error;
  }
}

const temporaryName = (networkId: string): string => `dt-${networkId.slice(0, ID_DIGITS)}`;

function linkNamed(host: NetlinkSocket, name: string): Link {
  const link = findLink(host, name);
  if (link === undefined) throw systemError(`Cannot make parent link "${name}": it is gone again`);
  return link;
}

/** Takes a parent away that we made. Idempotent; links that stand on it in containers go with it. */
export function removeParent(host: NetlinkSocket, name: string, owner: string): void {
  const link = findLink(host, name);
  if (link?.alias !== aliasOf(owner)) return;
  try {
    host.run(deleteLink({ index: link.index }));
  } catch (error) {
    if (!isNetlinkErrno(error, 'ENODEV')) throw error; // gone meanwhile
  }
}
