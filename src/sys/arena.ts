/**
 * Memory that never moves, for structs that contain pointers: addresses taken from it stay true (a pointer to a small
 * typed array goes stale when the JIT tiers up). Allocation is a bump; `reset` gives everything back.
 */
import { ok } from '#errdefs/assert.ts';
import { mapPages, pagesView, unmapPages } from './machine.ts';

const utf8 = new TextEncoder();

export class Arena implements Disposable {
  /** Address of the first byte. */
  readonly base: number;
  readonly size: number;
  readonly view: DataView;
  readonly u8: Uint8Array;
  readonly #text: Buffer;
  used = 0;

  /** With `at` the arena lies over pages that somebody else owns. */
  constructor(size: number, at?: number) {
    this.#owned = at === undefined;
    this.base = at ?? mapPages(size);
    this.size = size;
    const buffer = pagesView(this.base, size);
    this.view = new DataView(buffer);
    this.u8 = new Uint8Array(buffer);
    this.#text = Buffer.from(buffer);
  }

  readonly #owned: boolean;

  reset(): void {
    this.used = 0;
  }

  /** Offset of `length` zeroed bytes. */
  alloc(length: number, align = 8): number {
    const offset = (this.used + align - 1) & ~(align - 1);
    ok(offset + length <= this.size, 'arena full');
    this.used = offset + length;
    this.u8.fill(0, offset, offset + length);
    return offset;
  }

  u64(offset: number, value: number | bigint): void {
    if (typeof value === 'bigint') {
      this.view.setBigInt64(offset, BigInt.asIntN(64, value), true);
    } else {
      this.view.setUint32(offset, value, true);
      this.view.setInt32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
    }
  }

  /** Address of a NUL-terminated copy. */
  str(text: string): number {
    ok(!text.includes('\0'), 'a string for the kernel holds no NUL');
    const offset = this.used;
    // UTF-16 becomes three bytes a unit at most.
    const bytesMax = 3 * text.length + 1;
    const length = bytesMax <= this.size - offset ? this.#text.write(text, offset) : this.#encode(text, offset);
    this.u8[offset + length] = 0;
    this.used = offset + length + 1;
    return this.base + offset;
  }

  #encode(text: string, offset: number): number {
    const bytes = utf8.encode(text);
    ok(offset + bytes.length < this.size, 'arena full');
    this.u8.set(bytes, offset);
    return bytes.length;
  }

  /** Address of a copy. */
  bytes(bytes: Uint8Array, align = 8): number {
    const offset = this.alloc(bytes.length, align);
    this.u8.set(bytes, offset);
    return this.base + offset;
  }

  /** Address of a NULL-terminated array of pointers. */
  pointers(addresses: readonly number[]): number {
    const offset = this.alloc(8 * (addresses.length + 1));
    for (const [i, address] of addresses.entries()) this.u64(offset + 8 * i, address);
    return this.base + offset;
  }

  [Symbol.dispose](): void {
    if (this.#owned) unmapPages(this.base, this.size);
  }
}
