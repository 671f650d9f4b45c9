/**
 * Elements of the spoof guard as nfnetlink requests. Pure. One port is three elements in one batch: going through text
 * costs four times as much, on the way of every start. linux/netfilter/nf_tables.h.
 */
import { addressBytes, macBytes } from '#libcontainer/netlink/ip.ts';
import { attribute, concat, nested, NLM, type Request, textAttribute } from '#libcontainer/netlink/codec.ts';
import type { FirewallPort } from './tables.ts';

const SUBSYSTEM_NFTABLES = 10;
const MESSAGE = { batchBegin: 0x10, batchEnd: 0x11, newSetElement: 0x0c, deleteSetElement: 0x0e } as const;
const NFPROTO = { unspecified: 0, bridge: 7 } as const;
const LIST = { table: 1, set: 2, elements: 3 } as const;
const LIST_ELEMENT = 1;
const ELEMENT_KEY = 1;
const DATA_VALUE = 1;
const IFNAME_BYTES = 16;

/** struct nfgenmsg; the resource is big-endian. */
const header = (family: number, resource = 0): Uint8Array => Uint8Array.of(family, 0, resource >> 8, resource & 255);

const batch = (name: string, type: number): Request => ({
  name,
  type,
  flags: 0,
  header: header(NFPROTO.unspecified, SUBSYSTEM_NFTABLES),
  attributes: [],
});

/** Each part of a key takes whole registers of four bytes. */
function padded(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes);
  return result;
}

export interface ElementBatch {
  readonly begin: Request;
  readonly requests: readonly Request[];
  readonly end: Request;
}

/** Adds the port to the guard's sets, or takes it out. Preconditions for taking out: it is in them. */
export function portBatch(table: string, port: FirewallPort, verb: 'add' | 'delete'): ElementBatch {
  const link = padded(new TextEncoder().encode(port.link), IFNAME_BYTES);
  const mac = padded(macBytes(port.mac), 8);
  const ips = port.ips.map(addressBytes);
  const ofFour = ips.filter((ip) => ip.length === 4);
  const ofSix = ips.filter((ip) => ip.length === 16);
  const type = verb === 'add' ? MESSAGE.newSetElement : MESSAGE.deleteSetElement;
  const element = (set: string, key: Uint8Array): Request => ({
    name: `${verb} element of "${set}"`,
    type: (SUBSYSTEM_NFTABLES << 8) | type,
    flags: verb === 'add' ? NLM.CREATE : 0,
    header: header(NFPROTO.bridge),
    attributes: [
      textAttribute(LIST.table, table),
      textAttribute(LIST.set, set),
      nested(LIST.elements, [nested(LIST_ELEMENT, [nested(ELEMENT_KEY, [attribute(DATA_VALUE, key)])])]),
    ],
  });
  return {
    begin: batch('begin', MESSAGE.batchBegin),
    requests: [
      element('okmac', concat([link, mac])),
      ...ofFour.map((ip) => element('ok4', concat([link, mac, ip]))),
      ...ofSix.flatMap((ip) => [element('ok6', concat([link, mac, ip])), element('nd6', concat([link, mac, ip]))]),
      element('guarded', link),
    ],
    end: batch('end', MESSAGE.batchEnd),
  };
}

const ELEMENT_TIMEOUT = 4;
const NFPROTO_INET = 1;
const PROTOCOL_NUMBERS = { tcp: 6, udp: 17, sctp: 132 } as const;

/** An address that a name has led a container to. */
export interface KnownAddress {
  readonly from: string;
  readonly to: string;
  /** Undefined: all ports, and what has none. */
  readonly port?: { readonly protocol: keyof typeof PROTOCOL_NUMBERS; readonly number: number };
  readonly seconds: number;
}

/**
 * Makes the addresses reachable for so long from now on. Each is added, deleted and added again, since adding alone leaves
 * the time of one that is there as it is.
 */
export function knownBatch(table: string, addresses: readonly KnownAddress[]): ElementBatch {
  const newElement = (SUBSYSTEM_NFTABLES << 8) | MESSAGE.newSetElement;
  const deleteElement = (SUBSYSTEM_NFTABLES << 8) | MESSAGE.deleteSetElement;
  const requests = addresses.flatMap(({ from, to, port, seconds }): Request[] => {
    const [source, target] = [addressBytes(from), addressBytes(to)];
    const service =
      port === undefined
        ? []
        : [padded(Uint8Array.of(PROTOCOL_NUMBERS[port.protocol]), 4), padded(u16(port.number), 4)];
    const set = `known${source.length === 4 ? '4' : '6'}${port === undefined ? 'any' : ''}`;
    const timeout = new Uint8Array(8);
    new DataView(timeout.buffer).setBigUint64(0, BigInt(seconds) * 1000n);
    const key = nested(ELEMENT_KEY, [attribute(DATA_VALUE, concat([source, target, ...service]))]);
    const request = (type: number, element: readonly Uint8Array[]): Request => ({
      name: `element of "${set}"`,
      type,
      flags: type === newElement ? NLM.CREATE : 0,
      header: header(NFPROTO_INET),
      attributes: [
        textAttribute(LIST.table, table),
        textAttribute(LIST.set, set),
        nested(LIST.elements, [nested(LIST_ELEMENT, element)]),
      ],
    });
    const add = request(newElement, [key, attribute(ELEMENT_TIMEOUT, timeout)]);
    return [add, request(deleteElement, [key]), add];
  });
  return { begin: batch('begin', MESSAGE.batchBegin), requests, end: batch('end', MESSAGE.batchEnd) };
}

const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);
