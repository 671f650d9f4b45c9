/** What the kernel tells of links, addresses and routes: payloads of rtnetlink messages as values. Pure. */
import { decodeAttributes, textOf, u32Of } from './codec.ts';
import { addressText, macText } from './ip.ts';
import { IFF_UP, IFLA, IFLA_INFO, IFA, RTA } from './rtnetlink-numbers.ts';

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  /** 'bridge', 'veth', …; '' for hardware. */
  readonly kind: string;
  readonly mac: string;
  readonly mtu: number;
  /** Index of the bridge it is in, 0 for none. */
  readonly master: number;
  /** A note on it; '' for none. */
  readonly alias: string;
}

export function decodeLink(payload: Uint8Array): Link {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const attributes = decodeAttributes(payload.subarray(16));
  const info = attributes.get(IFLA.LINKINFO);
  const kind = info === undefined ? undefined : decodeAttributes(info).get(IFLA_INFO.KIND);
  return {
    index: view.getInt32(4, true),
    name: textOf(attributes.get(IFLA.IFNAME) ?? new Uint8Array()),
    up: (view.getUint32(8, true) & IFF_UP) !== 0,
    kind: kind === undefined ? '' : textOf(kind),
    mac: macText(attributes.get(IFLA.ADDRESS) ?? new Uint8Array()),
    mtu: u32Of(attributes.get(IFLA.MTU)),
    master: u32Of(attributes.get(IFLA.MASTER)),
    alias: textOf(attributes.get(IFLA.IFALIAS) ?? new Uint8Array()),
  };
}

export interface LinkAddress {
  readonly index: number;
  readonly ip: string;
  readonly prefixLength: number;
}

export function decodeAddress(payload: Uint8Array): LinkAddress {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const attributes = decodeAttributes(payload.subarray(8));
  const bytes = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS) ?? new Uint8Array(4);
  return { index: view.getUint32(4, true), prefixLength: view.getUint8(1), ip: addressText(bytes) };
}

export interface Route {
  readonly table: number;
  readonly index: number;
  /** '0.0.0.0' with length 0 is the default route. */
  readonly destination: string;
  readonly prefixLength: number;
  readonly gateway: string | undefined;
}

export function decodeRoute(payload: Uint8Array): Route {
  const attributes = decodeAttributes(payload.subarray(12));
  const gateway = attributes.get(RTA.GATEWAY);
  const table = attributes.get(RTA.TABLE);
  return {
    table: table === undefined ? (payload[4] ?? 0) : u32Of(table),
    index: u32Of(attributes.get(RTA.OIF)),
    destination: addressText(attributes.get(RTA.DST) ?? new Uint8Array(4)),
    prefixLength: payload[1] ?? 0,
    gateway: gateway === undefined ? undefined : addressText(gateway),
  };
}
