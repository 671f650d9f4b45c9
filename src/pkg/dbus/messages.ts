/**
 * As much of the D-Bus wire protocol as a method call needs: marshalling of little-endian messages, the
 * header of an answer, and the SASL hello. Pure; https://dbus.freedesktop.org/doc/dbus-specification.html.
 */

/** A value with its signature. Arrays name the signature of their elements, since they may be empty. */
export type DbusValue =
  | { readonly type: 's' | 'o' | 'g'; readonly value: string }
  | { readonly type: 'b'; readonly value: boolean }
  | { readonly type: 'u'; readonly value: number }
  | { readonly type: 't'; readonly value: bigint }
  | { readonly type: 'v'; readonly value: DbusValue }
  | { readonly type: 'a'; readonly element: string; readonly value: readonly DbusValue[] }
  | { readonly type: '('; readonly value: readonly DbusValue[] };

export const dbus = {
  string: (value: string): DbusValue => ({ type: 's', value }),
  boolean: (value: boolean): DbusValue => ({ type: 'b', value }),
  uint32: (value: number): DbusValue => ({ type: 'u', value }),
  uint64: (value: bigint): DbusValue => ({ type: 't', value }),
  variant: (value: DbusValue): DbusValue => ({ type: 'v', value }),
  array: (element: string, value: readonly DbusValue[]): DbusValue => ({ type: 'a', element, value }),
  struct: (...value: readonly DbusValue[]): DbusValue => ({ type: '(', value }),
};

export function signatureOf(value: DbusValue): string {
  if (value.type === 'a') return `a${value.element}`;
  if (value.type === '(') return `(${value.value.map(signatureOf).join('')})`;
  return value.type;
}

const ALIGNMENT: Readonly<Record<string, number>> = { s: 4, o: 4, g: 1, b: 4, u: 4, t: 8, v: 1, a: 4, '(': 8, '{': 8 };
const utf8 = new TextEncoder();

class Writer {
  readonly bytes: number[] = [];

  align(to: number): void {
    while (this.bytes.length % to !== 0) this.bytes.push(0);
  }

  u32(value: number): void {
    this.align(4);
    this.bytes.push(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, (value >>> 24) & 0xff);
  }

  u32At(at: number, value: number): void {
    for (let i = 0; i < 4; i++) this.bytes[at + i] = (value >>> (8 * i)) & 0xff;
  }

  value(value: DbusValue): void {
    switch (value.type) {
      case 's':
      case 'o': {
        const text = utf8.encode(value.value);
        this.u32(text.length);
        this.bytes.push(...text, 0);
        return;
      }
      case 'g': {
        const text = utf8.encode(value.value);
        this.bytes.push(text.length, ...text, 0);
        return;
      }
      case 'b':
        this.u32(value.value ? 1 : 0);
        return;
      case 'u':
        this.u32(value.value);
        return;
      case 't':
        this.align(8);
        this.u32(Number(value.value & 0xffff_ffffn));
        this.u32(Number(value.value >> 32n));
        return;
      case 'v':
        this.value({ type: 'g', value: signatureOf(value.value) });
        this.value(value.value);
        return;
      case '(':
        this.align(8);
        for (const field of value.value) this.value(field);
        return;
      case 'a': {
        this.u32(0);
        const lengthAt = this.bytes.length - 4;
        this.align(ALIGNMENT[value.element[0] ?? ''] ?? 1); // not counted in the length
        const start = this.bytes.length;
        for (const element of value.value) this.value(element);
        this.u32At(lengthAt, this.bytes.length - start);
        return;
      }
    }
  }
}

export interface DbusCall {
  readonly serial: number;
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly body: readonly DbusValue[];
  /** Not started for this when it does not run. */
  readonly noAutoStart?: boolean;
}

const METHOD_CALL = 1;
const NO_AUTO_START = 2;
/** Type of an answer. */
export const ERROR = 3;
const FIELD = { path: 1, interface: 2, member: 3, errorName: 4, replySerial: 5, destination: 6, signature: 8 } as const;
const byteStruct = (code: number, value: DbusValue): { code: number; value: DbusValue } => ({ code, value });

/** The bytes of a method call. */
export function encodeCall(call: DbusCall): Uint8Array {
  const body = new Writer();
  for (const value of call.body) body.value(value);
  const message = new Writer();
  message.bytes.push('l'.charCodeAt(0), METHOD_CALL, call.noAutoStart ? NO_AUTO_START : 0, 1);
  message.u32(body.bytes.length);
  message.u32(call.serial);
  message.u32(0);
  const fieldsAt = message.bytes.length;
  const fields = [
    byteStruct(FIELD.path, { type: 'o', value: call.path }),
    byteStruct(FIELD.destination, dbus.string(call.destination)),
    byteStruct(FIELD.interface, dbus.string(call.interface)),
    byteStruct(FIELD.member, dbus.string(call.member)),
    ...(call.body.length === 0
      ? []
      : [byteStruct(FIELD.signature, { type: 'g', value: call.body.map(signatureOf).join('') })]),
  ];
  for (const field of fields) {
    message.align(8);
    message.bytes.push(field.code);
    message.value(dbus.variant(field.value));
  }
  message.u32At(fieldsAt - 4, message.bytes.length - fieldsAt);
  message.align(8);
  return Uint8Array.from([...message.bytes, ...body.bytes]);
}

export interface DbusAnswer {
  /** 2 method return, 3 error, 4 signal. */
  readonly type: number;
  readonly replySerial: number | undefined;
  readonly errorName: string | undefined;
  /** The first argument when it is a string: an error's text. */
  readonly text: string | undefined;
  /** Bytes of the whole message. */
  readonly length: number;
}

/** The first message of `bytes`, or undefined when it is not there as a whole yet. */
export function decodeAnswer(bytes: Uint8Array): DbusAnswer | undefined {
  if (bytes.length < 16) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const little = bytes[0] === 'l'.charCodeAt(0);
  const u32 = (at: number) => view.getUint32(at, little);
  const fieldsEnd = 16 + u32(12);
  const bodyAt = (fieldsEnd + 7) & ~7;
  const length = bodyAt + u32(4);
  if (bytes.length < length) return undefined;
  const text = (at: number) => new TextDecoder().decode(bytes.subarray(at + 4, at + 4 + u32(at)));
  let replySerial: number | undefined;
  let errorName: string | undefined;
  let signature = '';
  for (let at = 16; at < fieldsEnd; ) {
    at = (at + 7) & ~7;
    const code = bytes[at];
    const type = String.fromCharCode(bytes[at + 2] ?? 0); // a variant of one letter: length 1, the letter, NUL
    at += 4;
    if (type === 'u') {
      at = (at + 3) & ~3;
      if (code === FIELD.replySerial) replySerial = u32(at);
      at += 4;
    } else if (type === 'g') {
      const size = bytes[at] ?? 0;
      if (code === FIELD.signature) signature = new TextDecoder().decode(bytes.subarray(at + 1, at + 1 + size));
      at += size + 2;
    } else {
      at = (at + 3) & ~3;
      if (code === FIELD.errorName) errorName = text(at);
      at += u32(at) + 5;
    }
  }
  const first = signature.startsWith('s') ? text(bodyAt) : undefined;
  return { type: bytes[1] ?? 0, replySerial, errorName, text: first, length };
}
