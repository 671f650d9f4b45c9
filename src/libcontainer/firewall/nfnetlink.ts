/** The words of nftables on the wire (linux/netfilter/nf_tables.h): requests, transactions, expressions of rules. Pure. */
import { attribute, nested, type Request, textAttribute } from '#libcontainer/netlink/codec.ts';
import type { RequestBatch } from '#libcontainer/netlink/socket.ts';

export const SUBSYSTEM_NFTABLES = 10;

export const MESSAGE = {
  newTable: 0,
  deleteTable: 2,
  newChain: 3,
  getChain: 4,
  newRule: 6,
  getRule: 7,
  deleteRule: 8,
  newSetElement: 12,
  deleteSetElement: 14,
  batchBegin: 16,
  batchEnd: 17,
} as const;

const FAMILY = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;
const UNSPECIFIED = 0;

export type NftFamily = keyof typeof FAMILY;

/** '' is none of those that we know. */
export const familyOf = (number: number | undefined): NftFamily | '' =>
  // as: the keys of the table.
  (Object.keys(FAMILY) as NftFamily[]).find((name) => FAMILY[name] === number) ?? '';

/** struct nfgenmsg */
export const NFGENMSG_BYTES = 4;
const REGISTER = 1;
const VERDICT_REGISTER = 0;
const ACCEPT = 1;
const EQUAL = 0;

/** Numbers of nftables are big-endian. */
export function big(type: number, value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value);
  return attribute(type, bytes);
}

/** Undefined when the attribute is absent or shorter. */
export const numberOf = (bytes: Uint8Array | undefined): number | undefined =>
  bytes === undefined || bytes.length < 4 ? undefined : new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);

export interface NftRequest {
  readonly name: string;
  readonly message: (typeof MESSAGE)[keyof typeof MESSAGE];
  /** None: of all families. */
  readonly family?: NftFamily;
  readonly flags?: number;
  readonly attributes?: readonly Uint8Array[];
}

export const nftRequest = ({ name, message, family, flags = 0, attributes = [] }: NftRequest): Request => ({
  name,
  type: (SUBSYSTEM_NFTABLES << 8) | message,
  flags,
  header: Uint8Array.of(family === undefined ? UNSPECIFIED : FAMILY[family], 0, 0, 0),
  attributes,
});

const edge = (name: string, type: number): Request => ({
  name,
  type,
  flags: 0,
  header: Uint8Array.of(UNSPECIFIED, 0, 0, SUBSYSTEM_NFTABLES),
  attributes: [],
});

/** One transaction. */
export const batchOf = (requests: readonly Request[]): RequestBatch => ({
  begin: edge('begin', MESSAGE.batchBegin),
  requests,
  end: edge('end', MESSAGE.batchEnd),
});

export const expression = (name: string, data: readonly Uint8Array[] = []): Uint8Array =>
  nested(1, [textAttribute(1, name), nested(2, data)]);

const value = (type: number, bytes: Uint8Array): Uint8Array => nested(type, [attribute(1, bytes)]);

/** Part of the packet's header into the register. */
export const loadPayload = (base: number, { offset, bytes }: { offset: number; bytes: number }): Uint8Array =>
  expression('payload', [big(1, REGISTER), big(2, base), big(3, offset), big(4, bytes)]);

/** What the kernel knows of the packet into the register. */
export const loadMeta = (key: number): Uint8Array => expression('meta', [big(1, REGISTER), big(2, key)]);

/** The register has this. */
export const equals = (bytes: Uint8Array): Uint8Array =>
  expression('cmp', [big(1, REGISTER), big(2, EQUAL), value(3, bytes)]);

export const setRegister = (bytes: Uint8Array): Uint8Array =>
  expression('immediate', [big(1, REGISTER), value(2, bytes)]);

/** The register into the packet's header, and the header's checksum with it. */
export const storePayload = (
  base: number,
  { offset, bytes }: { offset: number; bytes: number },
  checksum: { readonly type: number; readonly offset: number },
): Uint8Array =>
  expression('payload', [
    ...[big(5, REGISTER), big(2, base), big(3, offset), big(4, bytes)],
    ...[big(6, checksum.type), big(7, checksum.offset)],
  ]);

export const accept: Uint8Array = expression('immediate', [
  big(1, VERDICT_REGISTER),
  nested(2, [nested(2, [big(1, ACCEPT)])]),
]);
