/**
 * Takes a request's body out of the bytes of the connection: by length or chunked (RFC 9112 section 7.1, trailers are
 * read and dropped). Incremental: bytes come in pieces of any size; what follows the body is left to the caller. Where it
 * stands can be handed to another thread, which goes on with a decoder of its own.
 */

/** How long a body is, as its head says. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' };

/** The body is not what its framing says; `status` is what HTTP answers. */
export class BodyError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const LINE_MAX = 4096;
const TRAILER_BYTES_MAX = 64 * 1024;
const CR = 13;
const LF = 10;
/** Of a chunk's size; longer ones are rare. */
const SHORT_SIZE_DIGITS = 8;

/** -1 for what is none. */
function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const letter = byte | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}

/** Where a decoder stands; plain data. */
export interface BodyPosition {
  readonly chunked: boolean;
  readonly state: State;
  readonly left: number;
  readonly line: string;
  readonly trailerBytes: number;
}

type State = 'size' | 'content' | 'content-end' | 'trailer' | 'done';

export class BodyDecoder {
  readonly #chunked: boolean;
  readonly #emit: (bytes: Uint8Array) => void;
  #state: State;
  /** Bytes of the body, or of the chunk, that are to come. */
  #left: number;
  #line = '';
  #trailerBytes = 0;

  constructor(framing: Framing, emit: (bytes: Uint8Array) => void) {
    this.#emit = emit;
    this.#chunked = framing.kind === 'chunked';
    this.#left = framing.kind === 'length' ? framing.length : 0;
    this.#state = framing.kind === 'none' ? 'done' : framing.kind === 'chunked' ? 'size' : 'content';
  }

  static from(position: BodyPosition, emit: (bytes: Uint8Array) => void): BodyDecoder {
    const decoder = new BodyDecoder({ kind: position.chunked ? 'chunked' : 'none' }, emit);
    decoder.#state = position.state;
    decoder.#left = position.left;
    decoder.#line = position.line;
    decoder.#trailerBytes = position.trailerBytes;
    return decoder;
  }

  get position(): BodyPosition {
    const [chunked, state, left] = [this.#chunked, this.#state, this.#left];
    return { chunked, state, left, line: this.#line, trailerBytes: this.#trailerBytes };
  }

  get done(): boolean {
    return this.#state === 'done';
  }

  /** Returns how many of the bytes belong to this body; fewer than all only when it is done. */
  feed(bytes: Uint8Array): number {
    let at = 0;
    while (at < bytes.length && this.#state !== 'done') {
      if (this.#state === 'content') at = this.#content(bytes, at);
      else at = this.#between(bytes, at) ?? this.#lineByte(bytes, at);
    }
    return at;
  }

  /**
   * What stands between the contents of two chunks, when all of it is there and nothing unusual about it: writers of
   * archives make a chunk of every header. undefined: it has to be looked at byte by byte; nothing was taken.
   */
  #between(bytes: Uint8Array, from: number): number | undefined {
    if (this.#line !== '') return undefined;
    let at = from;
    if (this.#state === 'content-end') {
      if (bytes[at] !== CR || bytes[at + 1] !== LF) return undefined;
      at += 2;
    } else if (this.#state !== 'size') return undefined;
    const first = at;
    let size = 0;
    for (; at - first < SHORT_SIZE_DIGITS; at++) {
      const digit = hexDigit(bytes[at] ?? 0);
      if (digit < 0) break;
      size = size * 16 + digit;
    }
    // The last chunk's size is followed by other things than contents.
    if (size === 0 || bytes[at] !== CR || bytes[at + 1] !== LF) return undefined;
    this.#left = size;
    this.#state = 'content';
    return at + 2;
  }

  #content(bytes: Uint8Array, at: number): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    if (this.#left === 0) this.#state = this.#chunked ? 'content-end' : 'done';
    this.#emit(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    return end;
  }

  /** Collects a line that ends in CR LF; a CR or LF anywhere else is refused. */
  #lineByte(bytes: Uint8Array, at: number): number {
    const byte = bytes[at] ?? 0;
    const afterCr = this.#line.endsWith('\r');
    if (byte === LF) {
      if (!afterCr) throw new BodyError(400, 'malformed chunked encoding');
      const line = this.#line.slice(0, -1);
      this.#line = '';
      this.#endOfLine(line);
    } else {
      if (afterCr || (byte < 32 && byte !== CR && byte !== 9)) throw new BodyError(400, 'malformed chunked encoding');
      this.#line += String.fromCharCode(byte);
      if (this.#line.length > LINE_MAX) throw new BodyError(400, 'line too long in chunked encoding');
    }
    return at + 1;
  }

  #endOfLine(line: string): void {
    if (this.#state === 'content-end') {
      if (line !== '') throw new BodyError(400, 'malformed chunked encoding');
      this.#state = 'size';
    } else if (this.#state === 'size') {
      const match = /^([0-9a-fA-F]{1,13})[ \t]*(;.*)?$/.exec(line);
      if (match === null) throw new BodyError(400, 'invalid chunk size');
      this.#left = Number.parseInt(match[1] ?? '', 16);
      this.#state = this.#left === 0 ? 'trailer' : 'content';
    } else if (line === '') {
      this.#state = 'done';
    } else {
      this.#trailerBytes += line.length;
      if (this.#trailerBytes > TRAILER_BYTES_MAX) throw new BodyError(431, 'trailers too large');
    }
  }
}
