/** Addresses as text and as bytes. Pure. IPv4 as a number where pools are reckoned with. */
import { isIPv4, isIPv6 } from 'node:net';
import { invalidParameter } from '#errdefs/errors.ts';

export interface Subnet {
  /** First address, as a number. */
  readonly first: number;
  readonly prefixLength: number;
}

/** '172.17.0.2' → 0xac110002. Errors: invalid-parameter. */
export function ipv4Number(text: string): number {
  if (!isIPv4(text)) throw invalidParameter(`Cannot read ${JSON.stringify(text)} as an IPv4 address`);
  return text.split('.').reduce((number, part) => number * 256 + Number(part), 0);
}

export const ipv4Text = (number: number): string =>
  [number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255].join('.');

export const ipv4Bytes = (number: number): Uint8Array =>
  Uint8Array.of(number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255);

/** Bytes of an IPv4 or IPv6 address. */
export function addressBytes(text: string): Uint8Array {
  if (!text.includes(':')) return ipv4Bytes(ipv4Number(text));
  if (!isIPv6(text)) throw invalidParameter(`Cannot read ${JSON.stringify(text)} as an IPv6 address`);
  const dotted = /(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const tail = dotted?.[2] === undefined ? undefined : ipv4Number(dotted[2]);
  const hex = tail === undefined ? text : `${dotted?.[1]}${(tail >>> 16).toString(16)}:${(tail & 0xffff).toString(16)}`;
  const [head = '', rest] = hex.split('::');
  const words = (part: string) => (part === '' ? [] : part.split(':').map((word) => parseInt(word, 16)));
  const before = words(head);
  const after = words(rest ?? '');
  const zeros = Array.from({ length: rest === undefined ? 0 : 8 - before.length - after.length }, () => 0);
  return Uint8Array.from([...before, ...zeros, ...after].flatMap((word) => [word >> 8, word & 255]));
}

/** Text of 4 or 16 bytes; IPv6 in the form of RFC 5952. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && words[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = (part: readonly number[]) => part.map((word) => word.toString(16)).join(':');
  return best.at < 0 ? hex(words) : `${hex(words.slice(0, best.at))}::${hex(words.slice(best.at + best.length))}`;
}

const maskOf = (prefixLength: number): number => (prefixLength === 0 ? 0 : (0xffff_ffff << (32 - prefixLength)) >>> 0);

/** '172.17.0.0/16'; the address may be any of the subnet (--bip is the gateway's). */
export function subnetOf(text: string): Subnet & { readonly address: number } {
  const [address = '', length = '', more] = text.split('/');
  const prefixLength = Number(length);
  if (!/^\d+$/.test(length) || prefixLength > 32 || more !== undefined) {
    throw invalidParameter(`Cannot read ${JSON.stringify(text)} as an IPv4 network: want A.B.C.D/LENGTH`);
  }
  const number = ipv4Number(address);
  return { first: (number & maskOf(prefixLength)) >>> 0, prefixLength, address: number };
}

export const subnetText = ({ first, prefixLength }: Subnet): string => `${ipv4Text(first)}/${prefixLength}`;

export const subnetSize = ({ prefixLength }: Subnet): number => 2 ** (32 - prefixLength);

export function contains(subnet: Subnet, address: number): boolean {
  return (address & maskOf(subnet.prefixLength)) >>> 0 === subnet.first;
}

export function overlaps(a: Subnet, b: Subnet): boolean {
  return a.prefixLength < b.prefixLength ? contains(a, b.first) : contains(b, a.first);
}

/** An IPv6 network: 'fd00:1::/64'. */
export interface Subnet6 {
  readonly first: bigint;
  readonly prefixLength: number;
}

const ADDRESS6_BITS = 128;

export const ipv6Number = (text: string): bigint => BigInt(`0x${addressBytes(text).toHex()}`);

export const ipv6Text = (number: bigint): string =>
  addressText(Uint8Array.fromHex(number.toString(16).padStart(ADDRESS6_BITS / 4, '0')));

export const subnet6Size = ({ prefixLength }: Subnet6): bigint => 1n << BigInt(ADDRESS6_BITS - prefixLength);

/** Errors: invalid-parameter. */
export function subnet6Of(text: string): Subnet6 {
  const [address = '', length = '', more] = text.split('/');
  const prefixLength = Number(length);
  if (!isIPv6(address) || !/^\d+$/.test(length) || prefixLength > ADDRESS6_BITS || more !== undefined) {
    throw invalidParameter(`Cannot read ${JSON.stringify(text)} as an IPv6 network: want ADDRESS/LENGTH`);
  }
  const size = subnet6Size({ first: 0n, prefixLength });
  return { first: (ipv6Number(address) / size) * size, prefixLength };
}

export const subnet6Text = ({ first, prefixLength }: Subnet6): string => `${ipv6Text(first)}/${prefixLength}`;

export const contains6 = (subnet: Subnet6, address: bigint): boolean =>
  address >= subnet.first && address < subnet.first + subnet6Size(subnet);

export const macText = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');

/** Errors: invalid-parameter. */
export function macBytes(text: string): Uint8Array {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) {
    throw invalidParameter(`Cannot read ${JSON.stringify(text)} as a MAC address`);
  }
  return Uint8Array.from(text.split(':').map((byte) => parseInt(byte, 16)));
}
