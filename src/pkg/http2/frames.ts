/** Frames of HTTP/2 (RFC 9113, 4 and 6): cut out of the bytes that come, and written. */

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goAway: 7,
  window: 8,
  continuation: 9,
} as const;

export const flags = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const settingIds = {
  headerTableSize: 1,
  enablePush: 2,
  concurrentStreams: 3,
  window: 4,
  frameSize: 5,
  headerListSize: 6,
};

export const errorCodes = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Uint8Array;
}

/** The peer broke the rules in a way that ends the connection. */
export class ConnectionError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** We leave SETTINGS_MAX_FRAME_SIZE as it is. */
export const FRAME_BYTES_MAX = 16_384;
const HEAD_BYTES = 9;

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** Cuts frames out of a stream of bytes. Payloads are copies or parts of what came; they are not changed again. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  #prefaceLeft: number;

  constructor(preface: boolean) {
    this.#prefaceLeft = preface ? PREFACE.length : 0;
  }

  /** Throws a ConnectionError for a preface that is none, or a frame that is too large. */
  *push(bytes: Uint8Array): Generator<Frame> {
    this.#rest = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes]);
    if (this.#prefaceLeft > 0 && !this.#preface()) return;
    while (this.#rest.length >= HEAD_BYTES) {
      const length = this.#rest.readUIntBE(0, 3);
      if (length > FRAME_BYTES_MAX) throw new ConnectionError(errorCodes.frameSize, `a frame of ${length} bytes`);
      if (this.#rest.length < HEAD_BYTES + length) return;
      const frame = {
        type: this.#rest[3] ?? 0,
        flags: this.#rest[4] ?? 0,
        stream: this.#rest.readUInt32BE(5) & 0x7fff_ffff,
        payload: this.#rest.subarray(HEAD_BYTES, HEAD_BYTES + length),
      };
      this.#rest = this.#rest.subarray(HEAD_BYTES + length);
      yield frame;
    }
  }

  #preface(): boolean {
    if (this.#rest.length < this.#prefaceLeft) return false;
    if (!this.#rest.subarray(0, PREFACE.length).equals(PREFACE)) {
      throw new ConnectionError(errorCodes.protocol, 'no preface of HTTP/2');
    }
    this.#rest = this.#rest.subarray(PREFACE.length);
    this.#prefaceLeft = 0;
    return true;
  }
}

export function frame(type: number, frameFlags: number, stream: number, payload: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  out.writeUIntBE(payload.length, 0, 3);
  out[3] = type;
  out[4] = frameFlags;
  out.writeUInt32BE(stream, 5);
  out.set(payload, HEAD_BYTES);
  return out;
}

export function settingsPayload(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const out = Buffer.alloc(settings.length * 6);
  for (const [index, [id, value]] of settings.entries()) {
    out.writeUInt16BE(id, index * 6);
    out.writeUInt32BE(value, index * 6 + 2);
  }
  return out;
}

export function number32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
}

/** DATA and HEADERS without padding and priority. */
export function bare({ flags: set, payload }: Frame): Uint8Array {
  let start = 0;
  let end = payload.length;
  if ((set & flags.padded) !== 0) {
    end -= payload[0] ?? 0;
    start = 1;
  }
  if ((set & flags.priority) !== 0) start += 5;
  if (start > end) throw new ConnectionError(errorCodes.protocol, 'padding longer than its frame');
  return payload.subarray(start, end);
}
