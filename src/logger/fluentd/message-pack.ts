/** The little of MessagePack that the forward protocol needs: writing texts, numbers, maps, times; reading an answer. */

export function array(length: number): Uint8Array {
  return Uint8Array.of(0x90 | length);
}

/** Up to 65,535 entries follow, each a key and a value. */
export function mapHead(entries: number): Uint8Array {
  return entries < 16 ? Uint8Array.of(0x80 | entries) : Uint8Array.of(0xde, entries >> 8, entries & 0xff);
}

/** Bytes as a text, whatever they are: fluentd takes what a container writes. */
export function textOf(value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  const { length } = bytes;
  if (length < 32) return Buffer.concat([Uint8Array.of(0xa0 | length), bytes]);
  if (length < 0x100) return Buffer.concat([Uint8Array.of(0xd9, length), bytes]);
  const head = Buffer.alloc(length < 0x10000 ? 3 : 5);
  if (length < 0x10000) {
    head[0] = 0xda;
    head.writeUInt16BE(length, 1);
  } else {
    head[0] = 0xdb;
    head.writeUInt32BE(length, 1);
  }
  return Buffer.concat([head, bytes]);
}

/** Seconds as an integer. */
export function seconds(value: number): Uint8Array {
  const bytes = Buffer.alloc(5);
  bytes[0] = 0xce;
  bytes.writeUInt32BE(value, 1);
  return bytes;
}

/** fluentd's EventTime: an extension of type 0. */
export function eventTime(wholeSeconds: number, nanoseconds: number): Uint8Array {
  const bytes = Buffer.alloc(10);
  bytes[0] = 0xd7;
  bytes.writeUInt32BE(wholeSeconds, 2);
  bytes.writeUInt32BE(nanoseconds, 6);
  return bytes;
}

/** The texts of the answers `{"ack": text}` in a stream, and how many bytes they took. */
export function readAcks(bytes: Buffer): { readonly acks: string[]; readonly consumed: number } {
  const acks: string[] = [];
  let at = 0;
  for (;;) {
    const key = bytes[at] === 0x81 ? readText(bytes, at + 1) : undefined;
    const value = key === undefined ? undefined : readText(bytes, key.end);
    if (key === undefined || value === undefined) {
      // What is no such map is not waited for.
      if (at < bytes.length && bytes[at] !== 0x81) at = bytes.length;
      return { acks, consumed: at };
    }
    if (key.text === 'ack') acks.push(value.text);
    at = value.end;
  }
}

function readText(bytes: Buffer, at: number): { text: string; end: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  let from = at + 1;
  let length: number;
  if ((first & 0xe0) === 0xa0) length = first & 0x1f;
  else if (first === 0xd9 || first === 0xc4) {
    length = bytes[at + 1] ?? Number.POSITIVE_INFINITY;
    from = at + 2;
  } else return undefined;
  return from + length > bytes.length
    ? undefined
    : { text: bytes.toString('latin1', from, from + length), end: from + length };
}
