/**
 * Frames of the WebSocket protocol (RFC 6455): what a client sends is taken apart in whatever pieces it comes, what a
 * server sends is put together. Payloads of data frames are handed on as they arrive, never collected, so memory does
 * not depend on what a frame claims to be long. What breaks the protocol is an error with its close code.
 */

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export const CLOSE = { normal: 1000, goingAway: 1001, protocolError: 1002, tooBig: 1009 } as const;

const CONTROL_BYTES_MAX = 125;
const LENGTH_16 = 126;
const LENGTH_64 = 127;

export class WebSocketError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = 'WebSocketError';
    this.code = code;
  }
}

export interface FrameSink {
  /** Of a text or binary message, unmasked; a new array each time. */
  data(bytes: Uint8Array): void;
  ping(payload: Uint8Array): void;
  /** `code` is 0 when the frame had none. Nothing is read afterwards. */
  close(code: number): void;
}

export class FrameReader {
  readonly #sink: FrameSink;
  #head = new Uint8Array(0);
  #left = 0;
  #opcode = -1;
  readonly #mask = new Uint8Array(4);
  #maskAt = 0;
  #control: Uint8Array[] = [];
  /** Between the first and the last frame of a message. */
  #inMessage = false;
  #closed = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Errors: WebSocketError. */
  push(chunk: Uint8Array): void {
    let rest = chunk;
    while (rest.length > 0 && !this.#closed) {
      if (this.#opcode < 0) rest = this.#takeHead(rest);
      else rest = this.#takePayload(rest);
    }
  }

  /** What is left after the head, once it is whole. */
  #takeHead(chunk: Uint8Array): Uint8Array {
    const joined = Buffer.concat([this.#head, chunk.subarray(0, 14)]);
    const size = headSize(joined);
    if (size === undefined || joined.length < size) {
      this.#head = joined;
      return chunk.subarray(14);
    }
    const used = size - this.#head.length;
    this.#head = new Uint8Array(0);
    this.#readHead(joined.subarray(0, size));
    if (this.#left === 0) this.#endFrame();
    return chunk.subarray(used);
  }

  #readHead(head: Buffer): void {
    const [first = 0, second = 0] = head;
    const opcode = first & 0x0f;
    const last = (first & 0x80) !== 0;
    if ((first & 0x70) !== 0) throw protocolError('reserved bits are set');
    if ((second & 0x80) === 0) throw protocolError('a frame of a client is not masked');
    const length = lengthOf(head, second & 0x7f);
    if (opcode >= OPCODE.close) {
      if (opcode > OPCODE.pong) throw protocolError(`unknown opcode ${opcode}`);
      if (!last || length > CONTROL_BYTES_MAX) throw protocolError('a control frame is fragmented or too long');
    } else {
      if (opcode > OPCODE.binary) throw protocolError(`unknown opcode ${opcode}`);
      if ((opcode === OPCODE.continuation) !== this.#inMessage) throw protocolError('fragments out of order');
      this.#inMessage = !last;
    }
    head.copy(this.#mask, 0, head.length - 4);
    this.#maskAt = 0;
    this.#opcode = opcode;
    this.#left = length;
  }

  #takePayload(chunk: Uint8Array): Uint8Array {
    const size = Math.min(this.#left, chunk.length);
    const bytes = this.#unmask(chunk.subarray(0, size));
    this.#left -= size;
    if (this.#opcode >= OPCODE.close) this.#control.push(bytes);
    else this.#sink.data(bytes);
    if (this.#left === 0) this.#endFrame();
    return chunk.subarray(size);
  }

  #unmask(bytes: Uint8Array): Uint8Array {
    const plain = new Uint8Array(bytes.length);
    let at = this.#maskAt;
    for (let i = 0; i < bytes.length; i++) {
      plain[i] = (bytes[i] ?? 0) ^ (this.#mask[at] ?? 0);
      at = (at + 1) & 3;
    }
    this.#maskAt = at;
    return plain;
  }

  #endFrame(): void {
    const opcode = this.#opcode;
    this.#opcode = -1;
    if (opcode < OPCODE.close) return;
    const payload = Buffer.concat(this.#control);
    this.#control = [];
    if (opcode === OPCODE.ping) this.#sink.ping(payload);
    if (opcode !== OPCODE.close) return;
    if (payload.length === 1) throw protocolError('a close frame has half a code');
    const code = payload.length === 0 ? 0 : payload.readUInt16BE(0);
    if (code !== 0 && !isCloseCode(code)) throw protocolError(`${code} is no close code`);
    this.#closed = true;
    this.#sink.close(code);
  }
}

const protocolError = (message: string): WebSocketError => new WebSocketError(CLOSE.protocolError, message);

/** With the mask; undefined as long as its length cannot be told. */
function headSize(bytes: Uint8Array): number | undefined {
  const second = bytes[1];
  if (second === undefined) return undefined;
  const short = second & 0x7f;
  const extra = short === LENGTH_16 ? 2 : short === LENGTH_64 ? 8 : 0;
  // Unmasked frames are refused: their heads are read without waiting for what does not come.
  return 2 + extra + ((second & 0x80) === 0 ? 0 : 4);
}

function lengthOf(head: Buffer, short: number): number {
  if (short === LENGTH_16) return head.readUInt16BE(2);
  if (short !== LENGTH_64) return short;
  const length = head.readBigUInt64BE(2);
  if (length > BigInt(Number.MAX_SAFE_INTEGER)) throw new WebSocketError(CLOSE.tooBig, 'a frame is too long');
  return Number(length);
}

/** Codes that may be sent (RFC 6455 7.4). */
function isCloseCode(code: number): boolean {
  return (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999);
}

/** A whole frame of a server: last of its message, not masked. */
export function serverFrame(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const extra = length < LENGTH_16 ? 0 : length <= 0xffff ? 2 : 8;
  const frame = Buffer.allocUnsafe(2 + extra + length);
  frame[0] = 0x80 | opcode;
  frame[1] = extra === 0 ? length : extra === 2 ? LENGTH_16 : LENGTH_64;
  if (extra === 2) frame.writeUInt16BE(length, 2);
  if (extra === 8) frame.writeBigUInt64BE(BigInt(length), 2);
  frame.set(payload, 2 + extra);
  return frame;
}

export function closeFrame(code: number): Buffer {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return serverFrame(OPCODE.close, payload);
}
