/**
 * The DNS wire format (RFC 1035) as far as the embedded server speaks it: the question of a query, and answers of
 * addresses and names. Pure. Whatever is longer or stranger than a question is not read.
 */
export const TYPE = { A: 1, PTR: 12, AAAA: 28, OPT: 41 } as const;
export const RCODE = { ok: 0, formatError: 1, serverFailure: 2, nameError: 3, refused: 5 } as const;

const CLASS_IN = 1;
const HEADER_BYTES = 12;
const NAME_BYTES_MAX = 255;
const LABEL_BYTES_MAX = 63;
/** A pointer to the question's name, which every answer begins with. */
const QUESTION_NAME = 0xc000 | HEADER_BYTES;
const FLAG_RESPONSE = 0x8000;
const FLAG_AUTHORITATIVE = 0x0400;
const FLAG_RECURSION_DESIRED = 0x0100;
const FLAG_RECURSION_AVAILABLE = 0x0080;
const OPCODE_MASK = 0x7800;

export interface Question {
  readonly id: number;
  readonly flags: number;
  /** Lower case, without the dot at its end. */
  readonly name: string;
  readonly type: number;
  /** Of the header and the question together. */
  readonly length: number;
}

/** Undefined for anything but a plain query of one question; never throws. */
export function parseQuestion(bytes: Uint8Array): Question | undefined {
  if (bytes.length < HEADER_BYTES + 5) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const flags = view.getUint16(2);
  if ((flags & (FLAG_RESPONSE | OPCODE_MASK)) !== 0 || view.getUint16(4) !== 1) return undefined;
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (;;) {
    const length = bytes[at];
    // A pointer in a question could only point at itself.
    if (length === undefined || length > LABEL_BYTES_MAX || at - HEADER_BYTES > NAME_BYTES_MAX) return undefined;
    at += 1;
    if (length === 0) break;
    if (at + length > bytes.length) return undefined;
    labels.push(
      Buffer.from(bytes.subarray(at, at + length))
        .toString('latin1')
        .toLowerCase(),
    );
    at += length;
  }
  if (at + 4 > bytes.length || view.getUint16(at + 2) !== CLASS_IN) return undefined;
  return { id: view.getUint16(0), flags, name: labels.join('.'), type: view.getUint16(at), length: at + 4 };
}

/** An answer of our own: the question repeated, and one record for each `data`. */
export function answerTo(
  query: Uint8Array,
  question: Question,
  answer: { readonly code: number; readonly data?: readonly Uint8Array[]; readonly ttlSeconds?: number },
): Uint8Array {
  const { code, data = [], ttlSeconds = 0 } = answer;
  const records = data.reduce((sum, one) => sum + 12 + one.length, 0);
  const bytes = new Uint8Array(question.length + records);
  bytes.set(query.subarray(0, question.length));
  const view = new DataView(bytes.buffer);
  const kept = question.flags & FLAG_RECURSION_DESIRED;
  const authoritative = code === RCODE.ok ? FLAG_AUTHORITATIVE : 0;
  view.setUint16(2, FLAG_RESPONSE | authoritative | kept | FLAG_RECURSION_AVAILABLE | code);
  view.setUint16(6, data.length);
  view.setUint32(8, 0); // no authority, nothing additional
  let at = question.length;
  for (const one of data) {
    view.setUint16(at, QUESTION_NAME);
    view.setUint16(at + 2, question.type);
    view.setUint16(at + 4, CLASS_IN);
    view.setUint32(at + 6, ttlSeconds);
    view.setUint16(at + 10, one.length);
    bytes.set(one, at + 12);
    at += 12 + one.length;
  }
  return bytes;
}

/** The bytes of a name in a record. Labels longer than the format allows are cut. */
export function nameBytes(name: string): Uint8Array {
  const parts = name.split('.').filter((label) => label !== '');
  const labels = parts.map((label) => Buffer.from(label, 'latin1').subarray(0, LABEL_BYTES_MAX));
  return Buffer.concat([...labels.flatMap((label) => [Uint8Array.of(label.length), label]), Uint8Array.of(0)]);
}

/** '2.0.17.172.in-addr.arpa' → 172.17.0.2's bytes as text of hex; undefined for what is no reverse name. */
export function reversedAddress(name: string): string | undefined {
  if (name.endsWith('.in-addr.arpa')) {
    const parts = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse().map(Number);
    if (parts.length !== 4 || parts.some((part) => !(part >= 0 && part <= 255))) return undefined;
    return Buffer.from(parts).toString('hex');
  }
  if (!name.endsWith('.ip6.arpa')) return undefined;
  const hex = name.slice(0, -'.ip6.arpa'.length).split('.').reverse().join('');
  return /^[0-9a-f]{32}$/.test(hex) ? hex : undefined;
}

/** Of a server's answer: its code, whether it was cut, and for how long it may be kept. */
export function readAnswer(bytes: Uint8Array):
  | {
      readonly id: number;
      readonly code: number;
      readonly truncated: boolean;
      readonly ttlSeconds: number;
    }
  | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const flags = view.getUint16(2);
  if ((flags & FLAG_RESPONSE) === 0) return undefined;
  const code = flags & 15;
  const truncated = (flags & 0x0200) !== 0;
  return { id: view.getUint16(0), code, truncated, ttlSeconds: code === RCODE.ok && !truncated ? leastTtl(view) : 0 };
}

/** Addresses that an answer leads to, aliases followed by whoever made it, and for how long. Never throws. */
export function readAddresses(bytes: Uint8Array): {
  readonly addresses: readonly Uint8Array[];
  readonly ttlSeconds: number;
} {
  const addresses: Uint8Array[] = [];
  const nothing = { addresses: [], ttlSeconds: 0 };
  if (bytes.length < HEADER_BYTES) return nothing;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = skipName(view, HEADER_BYTES);
  if (at === undefined || view.getUint16(4) !== 1) return nothing;
  at += 4;
  let least = Number.MAX_SAFE_INTEGER;
  for (let i = view.getUint16(6); i > 0; i--) {
    const data = skipName(view, at);
    if (data === undefined || data + 10 > view.byteLength) return nothing;
    const [type, length] = [view.getUint16(data), view.getUint16(data + 8)];
    at = data + 10 + length;
    if (at > view.byteLength) return nothing;
    if ((type === TYPE.A && length === 4) || (type === TYPE.AAAA && length === 16)) {
      addresses.push(bytes.slice(data + 10, at));
    }
    least = Math.min(least, view.getUint32(data + 4));
  }
  return { addresses, ttlSeconds: addresses.length === 0 ? 0 : least };
}

/** The shortest life of its records; 0 when there is none or the message is not as it should be. */
function leastTtl(view: DataView): number {
  const records = view.getUint16(6);
  let at = skipName(view, HEADER_BYTES);
  if (at === undefined || view.getUint16(4) !== 1 || records === 0) return 0;
  at += 4;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < records; i++) {
    const data = skipName(view, at);
    if (data === undefined || data + 10 > view.byteLength) return 0;
    least = Math.min(least, view.getUint32(data + 4));
    at = data + 10 + view.getUint16(data + 8);
  }
  return Number.isFinite(least) ? least : 0;
}

function skipName(view: DataView, from: number): number | undefined {
  for (let at = from; at < view.byteLength; ) {
    const length = view.getUint8(at);
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    if (length > LABEL_BYTES_MAX) return undefined;
    at += 1 + length;
  }
  return undefined;
}
