/** Bytes that arrived and are not parsed yet: a buffer that grows by doubling, consumed from the front. */

const EMPTY = Buffer.alloc(0);

export class PendingBytes {
  #buffer: Buffer = EMPTY;
  #start = 0;
  #end = 0;

  get length(): number {
    return this.#end - this.#start;
  }

  /** The bytes; valid until the next append. */
  view(): Buffer {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  append(bytes: Buffer): void {
    if (this.length === 0) {
      this.#buffer = bytes;
      this.#start = 0;
      this.#end = bytes.length;
      return;
    }
    const need = this.length + bytes.length;
    if (this.#end + bytes.length > this.#buffer.length || this.#start > 0) {
      const grown = Buffer.allocUnsafe(Math.max(need, this.length * 2));
      this.#buffer.copy(grown, 0, this.#start, this.#end);
      this.#buffer = grown;
      this.#end -= this.#start;
      this.#start = 0;
    }
    bytes.copy(this.#buffer, this.#end);
    this.#end += bytes.length;
  }

  /** Takes everything. */
  takeAll(): Buffer {
    const all = this.view();
    this.clear();
    return all;
  }

  consume(bytes: number): void {
    this.#start += bytes;
    if (this.#start >= this.#end) this.clear();
  }

  clear(): void {
    this.#buffer = EMPTY;
    this.#start = 0;
    this.#end = 0;
  }
}
