/**
 * Parts of the keys and values in our sets: as nft writes them, and as the kernel has them. Pure. What is none of these
 * reaches neither: every one of them throws RangeError then.
 */
import { addressBytes, macBytes } from '#libcontainer/netlink/ip.ts';

export interface Part {
  readonly text: string;
  /** Whole registers of four bytes. */
  readonly bytes: Uint8Array;
  /** The last of a range that begins with `bytes`. */
  readonly last?: Uint8Array;
}

/** Names reach nft's grammar: nothing else may. */
const NAME = /^[a-zA-Z0-9_.-]{1,15}$/;
const ADDRESS = /^[0-9a-f.:]+$/;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;
const IFNAME_BYTES = 16;
const REGISTER_BYTES = 4;
const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;

export type Protocol = keyof typeof PROTOCOLS;

function padded(bytes: Uint8Array, length = Math.ceil(bytes.length / REGISTER_BYTES) * REGISTER_BYTES): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes);
  return result;
}

/** A name of a link as nft reads it. Throws RangeError for what is none. */
export function quoted(link: string): string {
  if (!NAME.test(link)) throw new RangeError(`link name ${JSON.stringify(link)} cannot be written to a rule set`);
  return `"${link}"`;
}

export const linkPart = (name: string): Part => ({
  text: quoted(name),
  bytes: padded(new TextEncoder().encode(name), IFNAME_BYTES),
});

export function addressPart(ip: string): Part {
  if (!ADDRESS.test(ip)) throw new RangeError(`address ${JSON.stringify(ip)} cannot be written`);
  return { text: ip, bytes: addressBytes(ip) };
}

/** An address as a number, as nft writes what it knows no type of. */
export function numberPart(ip: string): Part {
  const { bytes } = addressPart(ip);
  return { text: `0x${bytes.toHex()}`, bytes };
}

/** '172.17.0.0/16', of either family. */
export function networkPart(network: string): Part {
  const [ip = '', length = '', more] = network.split('/');
  const { bytes } = addressPart(ip);
  const bits = Number(length);
  if (!/^\d+$/.test(length) || bits > bytes.length * 8 || more !== undefined) {
    throw new RangeError(`network ${JSON.stringify(network)} cannot be written`);
  }
  const mask = (at: number): number => 0xff >> Math.min(8, Math.max(0, bits - at * 8));
  return {
    text: network,
    bytes: bytes.map((byte, at) => byte & ~mask(at)),
    last: bytes.map((byte, at) => byte | mask(at)),
  };
}

export function macPart(mac: string): Part {
  if (!MAC.test(mac)) throw new RangeError(`address ${JSON.stringify(mac)} cannot be written`);
  return { text: mac, bytes: padded(macBytes(mac)) };
}

export const protocolPart = (protocol: Protocol): Part => ({
  text: protocol,
  bytes: padded(Uint8Array.of(PROTOCOLS[protocol])),
});

export function portPart(port: number): Part {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new RangeError(`port ${port}`);
  return { text: String(port), bytes: padded(Uint8Array.of(port >> 8, port & 255)) };
}
