/**
 * Entries of the kernel's connection tracking, by ctnetlink (linux/netfilter/nfnetlink_conntrack.h). What is tracked goes
 * on whatever the rules say by now: a connection that may no longer be is ended by forgetting it, since its next packet
 * then is a new one, and meets the rules as they are.
 */
import { attribute, decodeAttributes, nested, type Request, u32 } from './codec.ts';
import { addressBytes, addressText } from './ip.ts';
import { netfilterSocket } from './netfilter.ts';
import { isNetlinkErrno } from './socket.ts';

const SUBSYSTEM = 1;
const MESSAGE = { get: 1, delete: 2 } as const;
const AF_INET = 2;
const AF_INET6 = 10;
const NFGENMSG_BYTES = 4;
const CTA = { tupleOriginal: 1, tupleReply: 2, filter: 25 } as const;
const TUPLE = { ip: 1, protocol: 2 } as const;
const IP = { fourSource: 1, fourDestination: 2, sixSource: 3, sixDestination: 4 } as const;
const PROTOCOL = { number: 1, sourcePort: 2, destinationPort: 3 } as const;
const FILTER = { original: 1, reply: 2 } as const;
/** CTA_IP_SRC of a filter's flags. */
const BY_SOURCE = 1;

const request = (name: string, message: number, family: number, attributes: readonly Uint8Array[]): Request => ({
  name,
  type: (SUBSYSTEM << 8) | message,
  flags: 0,
  header: Uint8Array.of(family, 0, 0, 0),
  attributes,
});

/** A connection as it was begun, and who answers it: somebody else than was asked, where it is translated. */
export interface Flow {
  /** 6: TCP, 17: UDP. */
  readonly protocol: number;
  readonly from: string;
  readonly to: string;
  /** Ports are 0 where there are none. */
  readonly toPort: number;
  readonly answers: string;
  readonly answersPort: number;
}

interface Entry extends Flow {
  /** As the kernel wrote it: it names the entry. */
  readonly original: Uint8Array;
}

interface End {
  readonly from: string;
  readonly to: string;
  readonly fromPort: number;
  readonly toPort: number;
  readonly protocol: number;
}

function decodeTuple(tuple: Uint8Array | undefined): End | undefined {
  if (tuple === undefined) return undefined;
  const parts = decodeAttributes(tuple);
  const ip = decodeAttributes(parts.get(TUPLE.ip) ?? new Uint8Array());
  const protocol = decodeAttributes(parts.get(TUPLE.protocol) ?? new Uint8Array());
  const [from, to] = [
    ip.get(IP.fourSource) ?? ip.get(IP.sixSource),
    ip.get(IP.fourDestination) ?? ip.get(IP.sixDestination),
  ];
  const number = protocol.get(PROTOCOL.number)?.[0];
  if (from === undefined || to === undefined || number === undefined) return undefined;
  const port = (bytes: Uint8Array | undefined): number => ((bytes?.[0] ?? 0) << 8) | (bytes?.[1] ?? 0);
  return {
    from: addressText(from),
    to: addressText(to),
    fromPort: port(protocol.get(PROTOCOL.sourcePort)),
    toPort: port(protocol.get(PROTOCOL.destinationPort)),
    protocol: number,
  };
}

/** Undefined for what has no answer's address. Exported for the test. */
export function decodeEntry(payload: Uint8Array): Entry | undefined {
  const attributes = decodeAttributes(payload.subarray(NFGENMSG_BYTES));
  const original = attributes.get(CTA.tupleOriginal);
  const [asked, reply] = [decodeTuple(original), decodeTuple(attributes.get(CTA.tupleReply))];
  if (original === undefined || asked === undefined || reply === undefined) return undefined;
  const { protocol, from, to, toPort } = asked;
  return { protocol, from, to, toPort, answers: reply.from, answersPort: reply.fromPort, original: original.slice() };
}

/** Kernels since 5.8 look for them themselves, others tell all. */
function filterOf(side: 'from' | 'answers', ip: string): Uint8Array[] {
  const type = ip.includes(':') ? IP.sixSource : IP.fourSource;
  const tuple = nested(side === 'from' ? CTA.tupleOriginal : CTA.tupleReply, [
    nested(TUPLE.ip, [attribute(type, addressBytes(ip))]),
  ]);
  const flags = [side === 'from' ? BY_SOURCE : 0, side === 'from' ? 0 : BY_SOURCE];
  return [
    tuple,
    nested(CTA.filter, [attribute(FILTER.original, u32(flags[0] ?? 0)), attribute(FILTER.reply, u32(flags[1] ?? 0))]),
  ];
}

/**
 * Forgets what `ip` has begun (`from`), or what has been led to it (`answers`), and is wanted gone. The number of entries.
 * Throws NetlinkError where the kernel has no ctnetlink.
 */
export function forgetFlows(side: 'from' | 'answers', ip: string, isGone: (flow: Flow) => boolean): number {
  const family = ip.includes(':') ? AF_INET6 : AF_INET;
  const wanted = addressText(addressBytes(ip));
  const socket = netfilterSocket();
  const entries = socket
    .dump(request('list connections', MESSAGE.get, family, filterOf(side, ip)), decodeEntry)
    .filter((entry): entry is Entry => entry?.[side] === wanted && isGone(entry));
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
