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
