/**
 * The netlink wire format: messages, attributes, acknowledgements. Pure. All numbers are the host's byte order
 * (little-endian on every architecture that we run on), everything is aligned to four bytes.
 */

export const NLM = {
  REQUEST: 1,
  MULTI: 2,
  ACK: 4,
  DUMP_INTR: 0x10,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
} as const;
const ERROR = 2;
const DONE = 3;
const NESTED = 0x8000;
const TYPE_MASK = 0x3fff;
const HEADER_BYTES = 16;
const CAPPED = 0x100; // NLM_F_CAPPED: the ack repeats only the header of the request
const ERROR_MESSAGE = 1; // NLMSGERR_ATTR_MSG

const align = (length: number): number => (length + 3) & ~3;
const utf8 = new TextEncoder();

export type Attribute = Uint8Array;

/** One attribute: length, type, value, padding. */
export function attribute(type: number, value: Uint8Array): Attribute {
  const bytes = new Uint8Array(align(4 + value.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, 4);
  return bytes;
}

export const nested = (type: number, attributes: readonly Attribute[]): Attribute =>
  attribute(type | NESTED, concat(attributes));

export const textAttribute = (type: number, text: string): Attribute => attribute(type, utf8.encode(`${text}\0`));

export function u32Attribute(type: number, value: number): Attribute {
  return attribute(type, u32(value));
}

export const u8Attribute = (type: number, value: number): Attribute => attribute(type, Uint8Array.of(value));

export const u16Attribute = (type: number, value: number): Attribute =>
  attribute(type, new Uint8Array(Uint16Array.of(value).buffer));

export const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export interface Request {
  /** For messages: 'add address'. */
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** The family's own header (ifinfomsg, ifaddrmsg, …), a multiple of four bytes. */
  readonly header: Uint8Array;
  readonly attributes: readonly Attribute[];
}

export function encodeRequest(request: Request, sequence: number): Uint8Array {
  const length = request.attributes.reduce((sum, part) => sum + part.length, HEADER_BYTES + request.header.length);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, request.type, true);
  view.setUint16(6, request.flags | NLM.REQUEST, true);
  view.setUint32(8, sequence, true);
  bytes.set(request.header, HEADER_BYTES);
  let at = HEADER_BYTES + request.header.length;
  for (const part of request.attributes) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** One received message. `ack`: the answer to a request, errno 0 for "done". `done`: the end of a dump. */
export type Message =
  | { readonly kind: 'ack'; readonly sequence: number; readonly errno: number; readonly reason: string | undefined }
  | { readonly kind: 'done'; readonly sequence: number; readonly interrupted: boolean; readonly errno: number }
  | {
      readonly kind: 'data';
      readonly sequence: number;
      readonly type: number;
      /** The socket that asked for it, or made what is told. */
      readonly port: number;
      readonly interrupted: boolean;
      readonly payload: Uint8Array;
    };

/** The messages of one datagram. A message that says it is longer than the datagram ends the list. */
export function decodeMessages(bytes: Uint8Array): Message[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const messages: Message[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER_BYTES || at + length > bytes.length) break;
    const type = view.getUint16(at + 4, true);
    const flags = view.getUint16(at + 6, true);
    const sequence = view.getUint32(at + 8, true);
    const payload = bytes.subarray(at + HEADER_BYTES, at + length);
    const interrupted = (flags & NLM.DUMP_INTR) !== 0;
    const errno = payload.length >= 4 ? -view.getInt32(at + HEADER_BYTES, true) || 0 : 0;
    if (type === ERROR) messages.push({ kind: 'ack', sequence, errno, reason: reasonOf(payload, flags) });
    else if (type === DONE) messages.push({ kind: 'done', sequence, interrupted, errno });
    else messages.push({ kind: 'data', sequence, type, port: view.getInt32(at + 12, true), interrupted, payload });
    at += align(length);
  }
  return messages;
}

/** The kernel's own words behind a failed request (NETLINK_EXT_ACK). */
function reasonOf(payload: Uint8Array, flags: number): string | undefined {
  if (payload.length < 4 + HEADER_BYTES) return undefined;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const echoed = (flags & CAPPED) !== 0 ? HEADER_BYTES : align(view.getUint32(4, true));
  const text = decodeAttributes(payload.subarray(Math.min(4 + echoed, payload.length))).get(ERROR_MESSAGE);
  return text === undefined ? undefined : textOf(text);
}

/** Attributes by type; of two of one type the later. */
export function decodeAttributes(bytes: Uint8Array): Map<number, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const attributes = new Map<number, Uint8Array>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) break;
    attributes.set(view.getUint16(at + 2, true) & TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += align(length);
  }
  return attributes;
}

export function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** 0 when the attribute is absent or shorter. */
export function u32Of(bytes: Uint8Array | undefined): number {
  if (bytes === undefined || bytes.length < 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
}
