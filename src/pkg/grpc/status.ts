/** Outcomes of gRPC calls, and what they mean to us. */
import { bytes, encode, int, many, text } from '#pkg/protobuf/protobuf.ts';
import { BerthError, type ErrorKind, kindOf, messageOf } from '#errdefs/errors.ts';

const codes: Readonly<Record<ErrorKind, number>> = {
  cancelled: 1,
  system: 2,
  'invalid-parameter': 3,
  'deadline-exceeded': 4,
  'not-found': 5,
  conflict: 6,
  forbidden: 7,
  'not-modified': 9,
  'not-implemented': 12,
  unavailable: 14,
  'data-loss': 15,
  unauthorized: 16,
};

const kinds = new Map<number, ErrorKind>(
  Object.entries(codes).map(([kind, code]) => [code, kind as ErrorKind]), // the keys of a record of ErrorKind
);

export const OK = 0;

export const UNKNOWN = codes.system;

/** More about a failure than its message, of a kind that both sides know by its address. */
export interface StatusDetail {
  readonly url: string;
  readonly value: Uint8Array;
}

export interface Status {
  readonly code: number;
  readonly message: string;
  readonly details?: readonly StatusDetail[];
}

/** A failure that says itself how it is told. */
export class StatusError extends Error {
  readonly status: Status;

  constructor(status: Status, options?: { readonly cause?: unknown }) {
    super(status.message, options);
    this.name = 'StatusError';
    this.status = status;
  }
}

export function statusOf(error: unknown): Status {
  if (error instanceof StatusError) return error.status;
  return { code: codes[kindOf(error)], message: messageOf(error) };
}

/** google.rpc.Status */
const wire = { code: int(1), message: text(2), details: many(3, { url: text(1), value: bytes(2) }) };

/** What ends an answer. */
export function trailersOf(status: Status): readonly (readonly [name: string, value: string])[] {
  const { code, message, details = [] } = status;
  const plain = [
    ['grpc-status', String(code)],
    ['grpc-message', encodeMessage(message)],
  ] as const;
  if (details.length === 0) return plain;
  // Binary headers go without padding.
  const whole = encode(wire, { code, message, details }).toString('base64').replace(/=+$/, '');
  return whole.length > DETAILS_MAX ? plain : [...plain, ['grpc-status-details-bin', whole]];
}

/** Clients take so many bytes of headers, and no more. */
const DETAILS_MAX = 1024 * 1024;

export const kindOfCode = (code: number): ErrorKind => kinds.get(code) ?? 'system';

/** What a call that failed is to whoever made it. */
export function errorOf({ code, message }: Status): BerthError {
  return new BerthError(kindOfCode(code), message === '' ? `the call failed (${code})` : message);
}

/** grpc-message: everything but printable ASCII, and `%`, as %XX of UTF-8. */
export function encodeMessage(message: string): string {
  let out = '';
  for (const byte of Buffer.from(message)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    out += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

export function decodeMessage(message: string): string {
  const bytes = message.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
