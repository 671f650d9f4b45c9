/**
 * Protocol Buffers (version 3) by tables: a message is a record of fields, its type follows from the table. What is
 * not in the table is skipped, what is not in the bytes has its zero value, as the format wants it.
 */

/** Bytes that are no message of the kind. */
export class ProtobufError extends Error {}

export interface Field<T> {
  readonly number: number;
  initial(): T;
  /** `before` is what the field has so far: lists and maps grow. */
  read(reader: Reader, wire: number, before: T): T;
  write(writer: Writer, value: T): void;
}

export type Table = Readonly<Record<string, Field<unknown>>>;
export type MessageOf<T extends Table> = { readonly [K in keyof T]: T[K] extends Field<infer V> ? V : never };

export class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new ProtobufError('a number that ends too early');
      value |= BigInt(byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return BigInt.asUintN(64, value);
    }
    throw new ProtobufError('a number that is too long');
  }

  bytes(): Uint8Array {
    const length = this.varint();
    if (length > BigInt(this.#bytes.length - this.#at)) throw new ProtobufError('a field that ends too early');
    const start = this.#at;
    this.#at += Number(length);
    return this.#bytes.subarray(start, this.#at);
  }

  skip(wire: number): void {
    if (wire === WIRE.varint) this.varint();
    else if (wire === WIRE.bytes) this.bytes();
    else if (wire === WIRE.fixed64) this.#at += 8;
    else if (wire === WIRE.fixed32) this.#at += 4;
    else throw new ProtobufError(`a field of unknown kind ${wire}`);
    if (this.#at > this.#bytes.length) throw new ProtobufError('a field that ends too early');
  }
}

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

export class Writer {
  readonly #parts: Uint8Array[] = [];

  varint(value: bigint): void {
    const out: number[] = [];
    let rest = BigInt.asUintN(64, value);
    for (; rest >= 0x80n; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80);
    out.push(Number(rest));
    this.#parts.push(Uint8Array.from(out));
  }

  tag(number: number, wire: number): void {
    this.varint(BigInt(number * 8 + wire));
  }

  bytes(value: Uint8Array): void {
    this.varint(BigInt(value.length));
    this.#parts.push(value);
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function expect(wire: number, wanted: number): void {
  if (wire !== wanted) throw new ProtobufError(`a field of kind ${wire} in the place of ${wanted}`);
}

/** int64, for what needs all of its bits. */
export const int64 = (number: number): Field<bigint> => ({
  number,
  initial: () => 0n,
  read: (reader, wire) => {
    expect(wire, WIRE.varint);
    return BigInt.asIntN(64, reader.varint());
  },
  write: (writer, value) => {
    if (value === 0n) return;
    writer.tag(number, WIRE.varint);
    writer.varint(value);
  },
});

/** Any integer that a number holds. */
export const int = (number: number): Field<number> => ({
  number,
  initial: () => 0,
  read: (reader, wire) => {
    expect(wire, WIRE.varint);
    const value = Number(BigInt.asIntN(64, reader.varint()));
    if (!Number.isSafeInteger(value)) throw new ProtobufError('a number that is too large');
    return value;
  },
  write: (writer, value) => {
    if (value === 0) return;
    writer.tag(number, WIRE.varint);
    writer.varint(BigInt(value));
  },
});

export const bool = (number: number): Field<boolean> => ({
  number,
  initial: () => false,
  read: (reader, wire) => {
    expect(wire, WIRE.varint);
    return reader.varint() !== 0n;
  },
  write: (writer, value) => {
    if (!value) return;
    writer.tag(number, WIRE.varint);
    writer.varint(1n);
  },
});

export const bytes = (number: number): Field<Uint8Array> => ({
  number,
  initial: () => new Uint8Array(0),
  read: (reader, wire) => {
    expect(wire, WIRE.bytes);
    return reader.bytes();
  },
  write: (writer, value) => {
    if (value.length === 0) return;
    writer.tag(number, WIRE.bytes);
    writer.bytes(value);
  },
});

export const text = (number: number): Field<string> => ({
  number,
  initial: () => '',
  read: (reader, wire) => {
    expect(wire, WIRE.bytes);
    return Buffer.from(reader.bytes()).toString('utf8');
  },
  write: (writer, value) => {
    if (value === '') return;
    writer.tag(number, WIRE.bytes);
    writer.bytes(Buffer.from(value));
  },
});

/** A message within a message; undefined when it is not there. */
export const nested = <T extends Table>(number: number, table: T): Field<MessageOf<T> | undefined> => ({
  number,
  initial: () => undefined,
  read: (reader, wire) => {
    expect(wire, WIRE.bytes);
    return read(table, new Reader(reader.bytes()));
  },
  write: (writer, value) => {
    if (value === undefined) return;
    writer.tag(number, WIRE.bytes);
    writer.bytes(encode(table, value));
  },
});

export const texts = (number: number): Field<readonly string[]> => ({
  number,
  initial: () => [],
  read: (reader, wire, before) => {
    expect(wire, WIRE.bytes);
    return [...before, Buffer.from(reader.bytes()).toString('utf8')];
  },
  write: (writer, value) => {
    for (const entry of value) {
      writer.tag(number, WIRE.bytes);
      writer.bytes(Buffer.from(entry));
    }
  },
});

export const chunks = (number: number): Field<readonly Uint8Array[]> => ({
  number,
  initial: () => [],
  read: (reader, wire, before) => {
    expect(wire, WIRE.bytes);
    return [...before, reader.bytes()];
  },
  write: (writer, value) => {
    for (const entry of value) {
      writer.tag(number, WIRE.bytes);
      writer.bytes(entry);
    }
  },
});

export const many = <T extends Table>(number: number, table: T): Field<readonly MessageOf<T>[]> => ({
  number,
  initial: () => [],
  read: (reader, wire, before) => {
    expect(wire, WIRE.bytes);
    return [...before, read(table, new Reader(reader.bytes()))];
  },
  write: (writer, value) => {
    for (const entry of value) {
      writer.tag(number, WIRE.bytes);
      writer.bytes(encode(table, entry));
    }
  },
});

/** map<string, V>, V being bytes or text of field 2. */
export const map = <V>(number: number, valueField: (number: number) => Field<V>): Field<ReadonlyMap<string, V>> => {
  const entry = { key: text(1), value: valueField(2) };
  return {
    number,
    initial: () => new Map<string, V>(),
    read: (reader, wire, before) => {
      expect(wire, WIRE.bytes);
      const { key, value } = read(entry, new Reader(reader.bytes()));
      return new Map([...before, [key, value]]);
    },
    write: (writer, value) => {
      for (const [key, one] of value) {
        writer.tag(number, WIRE.bytes);
        writer.bytes(encode(entry, { key, value: one }));
      }
    },
  };
};

function read<T extends Table>(table: T, reader: Reader): MessageOf<T> {
  const names = new Map(Object.entries(table).map(([name, field]) => [field.number, name]));
  const out: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(table)) out[name] = field.initial();
  while (!reader.done) {
    const tag = Number(reader.varint());
    const wire = tag % 8;
    const name = names.get((tag - wire) / 8);
    const field = name === undefined ? undefined : table[name];
    if (name === undefined || field === undefined) reader.skip(wire);
    else out[name] = field.read(reader, wire, out[name]);
  }
  // Every field of the table was given its initial value, and changed by its own reader only.
  return out as MessageOf<T>;
}

/** Throws ProtobufError. */
export function decode<T extends Table>(table: T, message: Uint8Array): MessageOf<T> {
  return read(table, new Reader(message));
}

/** Fields that are not given have their zero value. */
export function encode<T extends Table>(table: T, message: Partial<MessageOf<T>>): Buffer {
  const writer = new Writer();
  for (const [name, field] of Object.entries(table)) {
    const value = message[name];
    if (value !== undefined) field.write(writer, value);
  }
  return writer.finish();
}
