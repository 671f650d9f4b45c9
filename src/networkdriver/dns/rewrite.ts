/**
 * Port 53 of 127.0.0.11 inside a container's namespace leads to the port that our sockets have there, without connection
 * tracking and without taking port 53 from a server inside. One nfnetlink batch through a socket of the namespace; the
 * text form reaches the caller's own namespace only. linux/netfilter/nf_tables.h.
 */
import {
  batchOf,
  big,
  equals,
  expression,
  loadMeta,
  loadPayload,
  MESSAGE,
  type NftRequest,
  nftRequest,
  setRegister,
  storePayload,
} from '#libcontainer/firewall/nfnetlink.ts';
import { attribute, concat, nested, NLM, type Request, textAttribute } from '#libcontainer/netlink/codec.ts';
import { ipv4Bytes, ipv4Number } from '#libcontainer/netlink/ip.ts';
import { isNetlinkErrno, NETLINK_NETFILTER, NetlinkSocket } from '#libcontainer/netlink/socket.ts';

export const DNS_ADDRESS = '127.0.0.11';
const DNS_PORT = 53;
const TABLE = 'berth-dns';
const CHAIN = 'out';

const NLM_APPEND = 0x800;
const HOOK_OUTPUT = 3;
/** Before connection tracking. */
const PRIORITY_RAW = -300;
const NETWORK_HEADER = 1;
const TRANSPORT_HEADER = 2;
const META_L4PROTO = 16;
const CHECKSUM_INET = 1;
const SOURCE_ADDRESS = { offset: 12, bytes: 4 } as const;
const DESTINATION_ADDRESS = { offset: 16, bytes: 4 } as const;
const SOURCE_PORT = { offset: 0, bytes: 2 } as const;
const DESTINATION_PORT = { offset: 2, bytes: 2 } as const;
/** Number, and where the checksum lies in its header. */
const PROTOCOL = { udp: { number: 17, checksum: 6 }, tcp: { number: 6, checksum: 16 } } as const;

const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);

interface Field {
  readonly offset: number;
  readonly bytes: number;
}

interface Rule {
  readonly address: Field;
  readonly protocol: keyof typeof PROTOCOL;
  readonly port: Field;
  readonly from: number;
  readonly to: number;
}

const expressionsOf = ({ address, protocol, port, from, to }: Rule): Uint8Array[] => [
  loadPayload(NETWORK_HEADER, address),
  equals(ipv4Bytes(ipv4Number(DNS_ADDRESS))),
  loadMeta(META_L4PROTO),
  equals(Uint8Array.of(PROTOCOL[protocol].number)),
  loadPayload(TRANSPORT_HEADER, port),
  equals(u16(from)),
  expression('notrack'),
  setRegister(u16(to)),
  storePayload(TRANSPORT_HEADER, port, { type: CHECKSUM_INET, offset: PROTOCOL[protocol].checksum }),
];

const request = (
  name: string,
  message: NftRequest['message'],
  flags: number,
  attributes: readonly Uint8Array[],
): Request => nftRequest({ name, message, family: 'ip', flags, attributes });

/**
 * `netfilter`: an nfnetlink socket of the namespace. What was there before is replaced; but it is not deleted unasked, since
 * the kernel lets no socket be closed for tens of milliseconds after a deletion. Throws NetlinkError.
 */
export function rewriteDns(netfilter: number, ports: { readonly udp: number; readonly tcp: number }): void {
  using socket = new NetlinkSocket(netfilter, NETLINK_NETFILTER);
  const named = [textAttribute(1, TABLE)];
  const filled = [chainRequest, ...ruleRequests(ports)];
  try {
    socket.runBatch(batchOf([request('add table', MESSAGE.newTable, NLM.CREATE | NLM.EXCL, named), ...filled]));
  } catch (error) {
    if (!isNetlinkErrno(error, 'EEXIST')) throw error;
    const anew = [
      request('delete table', MESSAGE.deleteTable, 0, named),
      request('add table', MESSAGE.newTable, NLM.CREATE, named),
    ];
    socket.runBatch(batchOf([...anew, ...filled]));
  }
}

const chainRequest = request('add chain', MESSAGE.newChain, NLM.CREATE, [
  ...[textAttribute(1, TABLE), textAttribute(3, CHAIN)],
  nested(4, [big(1, HOOK_OUTPUT), big(2, PRIORITY_RAW)]),
  textAttribute(7, 'filter'),
]);

function ruleRequests(ports: { readonly udp: number; readonly tcp: number }): Request[] {
  const rules = (['udp', 'tcp'] as const).flatMap((protocol): Rule[] => [
    { address: DESTINATION_ADDRESS, protocol, port: DESTINATION_PORT, from: DNS_PORT, to: ports[protocol] },
    { address: SOURCE_ADDRESS, protocol, port: SOURCE_PORT, from: ports[protocol], to: DNS_PORT },
  ]);
  return rules.map((rule) =>
    request('add rule', MESSAGE.newRule, NLM.CREATE | NLM_APPEND, [
      ...[textAttribute(1, TABLE), textAttribute(2, CHAIN)],
      attribute(4 | 0x8000, concat(expressionsOf(rule))),
    ]),
  );
}
