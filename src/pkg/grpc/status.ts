/** Outcomes of gRPC calls, and what they mean to us. */
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

export interface Status {
  readonly code: number;
  readonly message: string;
}

export function statusOf(error: unknown): Status {
  return { code: codes[kindOf(error)], message: messageOf(error) };
}

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
