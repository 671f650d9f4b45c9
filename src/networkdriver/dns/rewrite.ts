/**
 * Port 53 of 127.0.0.11 inside a container's namespace leads to the port that our sockets have there, without connection
 * tracking and without taking port 53 from a server inside. One nfnetlink batch through a socket of the namespace; the
 * text form reaches the caller's own namespace only. linux/netfilter/nf_tables.h.
 */
import { attribute, concat, nested, NLM, type Request, textAttribute } from '#libcontainer/netlink/codec.ts';
import { ipv4Bytes, ipv4Number } from '#libcontainer/netlink/ip.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '#libcontainer/netlink/socket.ts';

export const DNS_ADDRESS = '127.0.0.11';
const DNS_PORT = 53;
const TABLE = 'berth-dns';
const CHAIN = 'out';

const SUBSYSTEM = 10;
const MESSAGE = { newTable: 0, deleteTable: 2, newChain: 3, newRule: 6, batchBegin: 0x10, batchEnd: 0x11 } as const;
const NFPROTO_IPV4 = 2;
const NLM_APPEND = 0x800;
const HOOK_OUTPUT = 3;
/** Before connection tracking. */
const PRIORITY_RAW = -300;
const REGISTER = 1;
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

/** Numbers of nftables are big-endian. */
function big(type: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value);
  return attribute(type, bytes);
}

const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);

const expression = (name: string, data: readonly Uint8Array[]): Uint8Array =>
  nested(1, [textAttribute(1, name), nested(2, data)]);

interface Field {
  readonly offset: number;
  readonly bytes: number;
}

const load = (base: number, { offset, bytes }: Field): Uint8Array =>
  expression('payload', [big(1, REGISTER), big(2, base), big(3, offset), big(4, bytes)]);

const equals = (value: Uint8Array): Uint8Array =>
  expression('cmp', [big(1, REGISTER), big(2, 0), nested(3, [attribute(1, value)])]);

const set = (value: Uint8Array, { offset, bytes }: Field, checksum: number): Uint8Array[] => [
  expression('immediate', [big(1, REGISTER), nested(2, [attribute(1, value)])]),
  expression('payload', [
    ...[big(5, REGISTER), big(2, TRANSPORT_HEADER), big(3, offset), big(4, bytes)],
    ...[big(6, CHECKSUM_INET), big(7, checksum)],
  ]),
];

interface Rule {
  readonly address: Field;
  readonly protocol: keyof typeof PROTOCOL;
  readonly port: Field;
  readonly from: number;
  readonly to: number;
}

const expressionsOf = ({ address, protocol, port, from, to }: Rule): Uint8Array[] => [
  load(NETWORK_HEADER, address),
  equals(ipv4Bytes(ipv4Number(DNS_ADDRESS))),
  expression('meta', [big(1, REGISTER), big(2, META_L4PROTO)]),
  equals(Uint8Array.of(PROTOCOL[protocol].number)),
  load(TRANSPORT_HEADER, port),
  equals(u16(from)),
  expression('notrack', []),
  ...set(u16(to), port, PROTOCOL[protocol].checksum),
];

const request = (name: string, message: number, flags: number, attributes: readonly Uint8Array[]): Request => ({
  name,
  type: (SUBSYSTEM << 8) | message,
  flags,
  header: Uint8Array.of(NFPROTO_IPV4, 0, 0, 0),
  attributes,
});

const batch = (name: string, type: number): Request => ({
  name,
  type,
  flags: 0,
  header: Uint8Array.of(0, 0, 0, SUBSYSTEM),
  attributes: [],
});

/** `netfilter`: an nfnetlink socket of the namespace. What was there before is replaced. Throws NetlinkError. */
export function rewriteDns(netfilter: number, ports: { readonly udp: number; readonly tcp: number }): void {
  using socket = new NetlinkSocket(netfilter, NETLINK_NETFILTER);
  const table = [textAttribute(1, TABLE)];
  const rules = (['udp', 'tcp'] as const).flatMap((protocol): Rule[] => [
    { address: DESTINATION_ADDRESS, protocol, port: DESTINATION_PORT, from: DNS_PORT, to: ports[protocol] },
    { address: SOURCE_ADDRESS, protocol, port: SOURCE_PORT, from: ports[protocol], to: DNS_PORT },
  ]);
  socket.runBatch(
    batch('begin', MESSAGE.batchBegin),
    [
      request('add table', MESSAGE.newTable, NLM.CREATE, table),
      request('delete table', MESSAGE.deleteTable, 0, table),
      request('add table', MESSAGE.newTable, NLM.CREATE, table),
      request('add chain', MESSAGE.newChain, NLM.CREATE, [
        ...[textAttribute(1, TABLE), textAttribute(3, CHAIN)],
        nested(4, [big(1, HOOK_OUTPUT), big(2, PRIORITY_RAW)]),
        textAttribute(7, 'filter'),
      ]),
      ...rules.map((rule) =>
        request('add rule', MESSAGE.newRule, NLM.CREATE | NLM_APPEND, [
          ...[textAttribute(1, TABLE), textAttribute(2, CHAIN)],
          attribute(4 | 0x8000, concat(expressionsOf(rule))),
        ]),
      ),
    ],
    batch('end', MESSAGE.batchEnd),
  );
}
