/** Bytes that wait until there are as many as somebody needs. What is taken lies in its memory until the next push. */
export class ByteQueue {
  #memory = Buffer.allocUnsafeSlow(1 << 17);
  #from = 0;
  #to = 0;

  get length(): number {
    return this.#to - this.#from;
  }

  push(bytes: Uint8Array): void {
    const room = this.#memory.length - this.#to;
    if (bytes.length > room) {
      const wanted = this.length + bytes.length;
      if (wanted <= this.#memory.length) this.#memory.copyWithin(0, this.#from, this.#to);
      else {
        const larger = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(wanted)));
        this.#memory.copy(larger, 0, this.#from, this.#to);
        this.#memory = larger;
      }
      this.#to -= this.#from;
      this.#from = 0;
    }
    this.#memory.set(bytes, this.#to);
    this.#to += bytes.length;
  }

  /** Preconditions: so many are there. */
  take(count: number): Buffer {
    const taken = this.#memory.subarray(this.#from, this.#from + count);
    this.#from += count;
    return taken;
  }

  /** All that is there, left where it is; `drop` says how much of it was used. */
  peek(): Buffer {
    return this.#memory.subarray(this.#from, this.#to);
  }

  drop(count: number): void {
    this.#from += count;
  }
}
