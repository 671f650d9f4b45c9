/**
 * One socket of netfilter for all that this thread asks it: the kernel lets none be closed before nftables has destroyed
 * what was taken out of it, which takes tens of milliseconds, and nobody wants to wait for that.
 */
import { NETLINK_NETFILTER, NetlinkSocket } from './socket.ts';

let kept: NetlinkSocket | undefined;

/** Stays open. */
export function netfilterSocket(): NetlinkSocket {
  kept ??= new NetlinkSocket(undefined, NETLINK_NETFILTER);
  return kept;
}
