/** Puts a prefix before each line of a stream that comes in any pieces. A line is given on when it is whole. */
const NEWLINE = 10;
/** A line that is longer is given on in parts, each with the prefix. */
const HELD_BYTES_MAX = 256 * 1024;

export class LinePrefixer {
  readonly #prefix: Buffer;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(prefix: string) {
    this.#prefix = Buffer.from(prefix);
  }

  /** The lines that have become whole, with their prefixes. */
  push(bytes: Uint8Array): Uint8Array {
    const input = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes]);
    const parts: Uint8Array[] = [];
    let at = 0;
    for (let end = input.indexOf(NEWLINE); end >= 0; end = input.indexOf(NEWLINE, at)) {
      parts.push(this.#prefix, input.subarray(at, end + 1));
      at = end + 1;
    }
    this.#rest = input.subarray(at);
    if (this.#rest.length > HELD_BYTES_MAX) parts.push(this.end());
    return Buffer.concat(parts);
  }

  /** What is left, as a line. */
  end(): Uint8Array {
    if (this.#rest.length === 0) return this.#rest;
    const line = Buffer.concat([this.#prefix, this.#rest, Uint8Array.of(NEWLINE)]);
    this.#rest = new Uint8Array(0);
    return line;
  }
}
