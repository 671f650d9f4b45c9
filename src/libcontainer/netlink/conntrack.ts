/**
 * Entries of the kernel's connection tracking, by ctnetlink (linux/netfilter/nfnetlink_conntrack.h): after a published
 * port is gone, what talks UDP would go on reaching the address that it led to.
 */
import { decodeAttributes, nested, type Request } from './codec.ts';
import { addressBytes, addressText } from './ip.ts';
import { isNetlinkErrno, NETLINK_NETFILTER, NetlinkSocket } from './socket.ts';

const SUBSYSTEM = 1;
const MESSAGE = { get: 1, delete: 2 } as const;
const AF_INET = 2;
const AF_INET6 = 10;
const NFGENMSG_BYTES = 4;
const CTA = { tupleOriginal: 1, tupleReply: 2 } as const;
const TUPLE = { ip: 1, protocol: 2 } as const;
const PROTOCOL_NUMBER = 1;

const request = (name: string, message: number, family: number, attributes: readonly Uint8Array[]): Request => ({
  name,
  type: (SUBSYSTEM << 8) | message,
  flags: 0,
  header: Uint8Array.of(family, 0, 0, 0),
  attributes,
});

interface Entry {
  /** As the kernel wrote it: it names the entry. */
  readonly original: Uint8Array;
  /** Who answers. */
  readonly answers: string;
  readonly protocol: number;
}

/** Undefined for what has no answer's address. Exported for the test. */
export function decodeEntry(payload: Uint8Array): Entry | undefined {
  const attributes = decodeAttributes(payload.subarray(NFGENMSG_BYTES));
  const original = attributes.get(CTA.tupleOriginal);
  const reply = attributes.get(CTA.tupleReply);
  if (original === undefined || reply === undefined) return undefined;
  const parts = decodeAttributes(reply);
  const ip = decodeAttributes(parts.get(TUPLE.ip) ?? new Uint8Array());
  const source = ip.get(1) ?? ip.get(3);
  const protocol = decodeAttributes(parts.get(TUPLE.protocol) ?? new Uint8Array()).get(PROTOCOL_NUMBER)?.[0];
  if (source === undefined || protocol === undefined) return undefined;
  return { original: original.slice(), answers: addressText(source), protocol };
}

/**
 * Forgets what has been led to `ip` by `protocol` (17: UDP). The number of entries. Throws NetlinkError where the kernel
 * has no ctnetlink.
 */
export function forgetConnections(ip: string, protocol: number): number {
  const family = ip.includes(':') ? AF_INET6 : AF_INET;
  const wanted = addressText(addressBytes(ip));
  using socket = new NetlinkSocket(undefined, NETLINK_NETFILTER);
  const entries = socket
    .dump(request('list connections', MESSAGE.get, family, []), decodeEntry)
    .filter((entry): entry is Entry => entry?.answers === wanted && entry.protocol === protocol);
  let forgotten = 0;
  for (const { original } of entries) {
    try {
      socket.run(request('forget connection', MESSAGE.delete, family, [nested(CTA.tupleOriginal, [original])]));
      forgotten++;
    } catch (error) {
      // It ended meanwhile.
      if (!isNetlinkErrno(error, 'ENOENT')) throw error;
    }
  }
  return forgotten;
}
