/**
 * What makes logging survive SIGKILL of the daemon without a byte lost or written twice. The Worker reads a container's
 * output into this file's pages, which are shared memory on tmpfs and stay when the process dies, and it is written there
 * which log the bytes go to, how long that log was, and when they were all logged. The next daemon finishes or repeats
 * the one chunk that was in flight: it cuts the log to the recorded length and encodes the chunk again.
 *
 * The hard case is a kill between the kernel's taking bytes out of the pipe and our noting it. A pipe with n bytes gives
 * exactly n to its only reader, so the outcome is all or nothing: before the read the last bytes of the buffer are set to
 * a random mark of bytes that UTF-8 never has, and a mark that is still there says that nothing was read. A terminal gives
 * any number, so the whole (small) buffer is marked and the last byte that differs tells the length.
 *
 * An unfinished line is kept in the stream's slot, in two copies: the chunk that changes it writes the other one, and
 * becomes valid with the chunk. `committed` is one 8-byte store: everything before it is undone, everything after it done.
 * Pages are allocated before they are touched: a full tmpfs must be an error, not a SIGBUS.
 */
import { ok } from 'node:assert/strict';
import { call, must } from '#sys/call.ts';
import { Arena } from '#sys/arena.ts';
import { isErrno } from '#sys/errno.ts';
import { close, flock, fstat, ftruncate, open, pread, statxAt, unlinkat } from '#sys/files.ts';
import { AT, LOCK, NR, O } from '#sys/numbers.ts';
import { systemError } from '#errdefs/errors.ts';
import { REST_BYTES_MAX } from '#logger/json-file/encoder.ts';

const MAGIC = Uint8Array.of(0x42, 0x4a, 0, 1);
const MAP_SHARED = 1;
const READ_WRITE = 3;
const PUNCH_HOLE_KEEP_SIZE = 3;

// The record.
const AT_MAGIC = 0;
const AT_COMMITTED = 8;
const AT_SEQUENCE = 16;
const AT_PHASE = 24;
const AT_LENGTH = 28;
const AT_SLOT = 32;
const AT_CHOSEN = 36;
const AT_EXACT = 40;
const AT_FINAL = 44;
const AT_DESCRIPTION_BYTES = 48;
const AT_MARK = 64;
const AT_ENTRIES = 128;
const ENTRY_BYTES = 32;
const AT_DESCRIPTION = 4096;
const DESCRIPTION_BYTES_MAX = 56 * 1024;

const MARK_BYTES = 16;
const PHASE_READING = 1;
const PHASE_READ = 2;

/** A frame header can be put directly before the chunk. */
const HEADER_ROOM = 8;
const AT_CHUNK = 68 * 1024;
export const CHUNK_BYTES = 256 * 1024;
/** A terminal gives at most so much at once (N_TTY_BUF_SIZE). */
export const TERMINAL_READ_BYTES = 4096;

const SLOTS = 4096;
const AT_SLOTS = 512 * 1024;
const SLOT_BYTES = 256;
const SLOT_KEY_BYTES = 192;
const AT_RESTS = AT_SLOTS + SLOTS * SLOT_BYTES;
const REST_BYTES = 20 * 1024;
const TOTAL_BYTES = AT_RESTS + SLOTS * 2 * REST_BYTES;
const PAGE = 4096;

const LOCK_RETRY_MS = 5;
const LOCK_WAIT_MS = 5000;

/**
 * A daemon that was killed may still be on its way out of a system call, with our log in its hands: its lock goes with
 * its last thread. One that ends in order removes the file, so it must still be there when the lock is ours.
 */
function openLocked(path: string): number {
  const end = performance.now() + LOCK_WAIT_MS;
  for (;;) {
    const fd = open(path, O.RDWR | O.CREAT | O.NOFOLLOW, 0o600);
    try {
      flock(fd, LOCK.EX | LOCK.NB);
      if (inodeOf(path) === fstat(fd).ino) return fd;
    } catch (error) {
      if (!isErrno(error, 'EAGAIN') || performance.now() > end) {
        close(fd);
        throw systemError(`Cannot lock "${path}": another daemon uses this exec root`, { cause: error });
      }
      Bun.sleepSync(LOCK_RETRY_MS);
    }
    close(fd);
  }
}

function inodeOf(path: string): bigint | undefined {
  try {
    return statxAt(AT.FDCWD, path).ino;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Whether an earlier process of this version has made it. */
function isJournal(fd: number): boolean {
  const magic = new Uint8Array(4);
  return fstat(fd).size === TOTAL_BYTES && pread(fd, magic, AT_MAGIC) === 4 && magic.join() === MAGIC.join();
}

/** A stream's place for its unfinished line. */
export type Slot = number;

export interface Recovered {
  readonly description: string;
  readonly slot: Slot;
  readonly length: number;
  readonly final: boolean;
  readonly progress: Progress;
}

/** So much of the unfinished line and the chunk is in the log file `ino`, which is `size` bytes long. */
export interface Progress {
  readonly consumed: number;
  readonly size: number;
  readonly ino: bigint;
}

export class Journal implements Disposable {
  readonly #path: string;
  readonly #fd: number;
  readonly #pages: Arena;
  readonly #view: DataView;
  readonly #u8: Uint8Array;
  readonly #sequences: Float64Array;
  readonly #mark: Uint8Array;
  readonly #slots = new Map<string, Slot>();
  readonly #free: Slot[] = [];
  /** Bytes of each rest that have pages. */
  readonly #allocated = new Map<number, number>();
  /** Slots of an earlier daemon that nobody has opened yet. */
  readonly #unclaimed = new Set<Slot>();
  /** Those that somebody has opened. */
  readonly #inherited = new Set<Slot>();
  /** Unfinished lines that found no room in a full tmpfs: lost if we are killed. */
  readonly #volatile = new Map<Slot, Uint8Array>();
  #described = '';

  /** Where read(2) puts a chunk. */
  readonly chunk: Uint8Array;
  /** The chunk with the eight bytes before it. */
  readonly framed: Uint8Array;

  /** Opens the journal of an earlier process, or makes one; `path` should lie on tmpfs. One opener at a time. */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openLocked(path);
    const known = isJournal(this.#fd);
    if (!known) {
      ftruncate(this.#fd, 0);
      ftruncate(this.#fd, TOTAL_BYTES);
    }
    this.#allocate(0, AT_CHUNK + CHUNK_BYTES);
    const address = must('mmap', NR.mmap, 0, TOTAL_BYTES, READ_WRITE, MAP_SHARED, this.#fd, 0);
    this.#pages = new Arena(TOTAL_BYTES, address);
    this.#view = this.#pages.view;
    this.#u8 = this.#pages.u8;
    this.#sequences = new Float64Array(this.#u8.buffer, 0, PAGE / 8);
    this.chunk = this.#u8.subarray(AT_CHUNK, AT_CHUNK + CHUNK_BYTES);
    this.framed = this.#u8.subarray(AT_CHUNK - HEADER_ROOM, AT_CHUNK + CHUNK_BYTES);
    this.#mark = this.#u8.subarray(AT_MARK, AT_MARK + MARK_BYTES);
    if (!known) this.#format();
    this.#readSlots();
  }

  #format(): void {
    this.#mark.set(crypto.getRandomValues(new Uint8Array(MARK_BYTES)).map((byte) => byte | 0xf8));
    this.#u8.set(MAGIC, AT_MAGIC);
  }

  #allocate(offset: number, length: number): void {
    must('fallocate', NR.fallocate, this.#fd, 0, offset, length);
  }

  // --- slots

  #slotAt(slot: Slot): number {
    return AT_SLOTS + slot * SLOT_BYTES;
  }

  #readSlots(): void {
    for (let slot = 0; slot < SLOTS; slot++) {
      const at = this.#slotAt(slot);
      // A page of the table without data is a hole: reading it would allocate it, so ask by SEEK_DATA once a page.
      if (at % PAGE === 0 && !this.#hasPage(at)) {
        slot += PAGE / SLOT_BYTES - 1;
        continue;
      }
      const key = this.#keyAt(at);
      if (key === '') continue;
      this.#slots.set(key, slot);
      this.#unclaimed.add(slot);
    }
    const used = new Set(this.#slots.values());
    for (let slot = SLOTS - 1; slot >= 0; slot--) if (!used.has(slot)) this.#free.push(slot);
  }

  #hasPage(offset: number): boolean {
    const SEEK_DATA = 3;
    return call(NR.lseek, this.#fd, offset, SEEK_DATA) === offset;
  }

  /** The slot of a stream, the one that it had in an earlier process if it had one. */
  slot(key: string): Slot {
    ok(key.length > 0 && key.length < SLOT_KEY_BYTES && /^[\x21-\x7e]+$/.test(key), 'a key is short and printable');
    const known = this.#slots.get(key);
    if (known !== undefined) {
      if (this.#unclaimed.delete(known)) this.#inherited.add(known);
      return known;
    }
    const slot = this.#free.pop();
    if (slot === undefined) throw new RangeError(`more than ${SLOTS} streams have a log`);
    const at = this.#slotAt(slot);
    this.#allocate(at, SLOT_BYTES);
    this.#u8.fill(0, at, at + SLOT_BYTES);
    this.#u8.set(Buffer.from(key, 'latin1'), at);
    this.#slots.set(key, slot);
    return slot;
  }

  /** Gives a slot back with what is in it. */
  release(slot: Slot): void {
    const at = this.#slotAt(slot);
    const key = this.#keyAt(at);
    this.#u8.fill(0, at, at + SLOT_BYTES);
    this.#slots.delete(key);
    this.#volatile.delete(slot);
    this.#free.push(slot);
    // One of an earlier process may have pages that we do not know of.
    const allocated = this.#allocated.delete(2 * slot) || this.#allocated.delete(2 * slot + 1);
    if (this.#unclaimed.delete(slot) || allocated || this.#inherited.delete(slot)) {
      call(NR.fallocate, this.#fd, PUNCH_HOLE_KEEP_SIZE, this.#restAt(slot, 0), 2 * REST_BYTES);
    }
    this.#allocated.delete(2 * slot + 1);
  }

  #keyAt(at: number): string {
    return Buffer.from(this.#u8.subarray(at, at + SLOT_KEY_BYTES))
      .toString('latin1')
      .replace(/\0.*$/s, '');
  }

  /** Gives back every slot of an earlier process that nobody has asked for since: its container is gone. */
  releaseUnclaimed(): void {
    for (const slot of this.#unclaimed) this.release(slot);
  }

  // --- unfinished lines

  #restAt(slot: Slot, copy: number): number {
    return AT_RESTS + (2 * slot + copy) * REST_BYTES;
  }

  /** Index into the Float64Array view; the length of a copy stands 8 bytes behind its sequence. */
  #restSequenceAt(slot: Slot, copy: number): number {
    return this.#slotAt(slot) + SLOT_KEY_BYTES + 16 * copy;
  }

  #validCopy(slot: Slot): number {
    const committed = this.#sequences[AT_COMMITTED / 8] ?? 0;
    const [first, second] = [0, 1].map((copy) => this.#view.getFloat64(this.#restSequenceAt(slot, copy), true));
    ok(first !== undefined && second !== undefined);
    if (first > committed) return 1;
    return second > committed || first > second ? 0 : 1;
  }

  /** The unfinished line of a stream, as of the last chunk that was committed. */
  rest(slot: Slot): Uint8Array {
    const volatile = this.#volatile.get(slot);
    if (volatile !== undefined) return volatile;
    const copy = this.#validCopy(slot);
    const length = this.#view.getFloat64(this.#restSequenceAt(slot, copy) + 8, true);
    const at = this.#restAt(slot, copy);
    return this.#u8.subarray(at, at + length);
  }

  /** The unfinished line from now on, if the chunk in flight is committed. Preconditions: one is. */
  setRest(slot: Slot, bytes: Uint8Array): void {
    ok(bytes.length <= REST_BYTES_MAX);
    if (bytes.length === 0 && this.rest(slot).length === 0) return;
    const copy = 1 - this.#validCopy(slot);
    const durable = this.#makeRoom(slot, copy, bytes.length);
    if (durable) {
      this.#u8.set(bytes, this.#restAt(slot, copy));
      this.#volatile.delete(slot);
    } else this.#volatile.set(slot, bytes.slice());
    const sequenceAt = this.#restSequenceAt(slot, copy);
    this.#view.setFloat64(sequenceAt + 8, durable ? bytes.length : 0, true);
    this.#view.setFloat64(sequenceAt, this.#sequences[AT_SEQUENCE / 8] ?? 0, true);
  }

  /** Pages for a copy; false when the tmpfs is full. */
  #makeRoom(slot: Slot, copy: number, bytes: number): boolean {
    const index = 2 * slot + copy;
    if (bytes <= (this.#allocated.get(index) ?? 0)) return true;
    const room = Math.ceil(bytes / PAGE) * PAGE;
    if (call(NR.fallocate, this.#fd, 0, this.#restAt(slot, copy), room) < 0) return false;
    this.#allocated.set(index, room);
    return true;
  }

  // --- the chunk in flight

  /**
   * Announces a read of `length` bytes into `chunk`: exactly that many (`exact`, a pipe), or up to that many. What is
   * noted here is true for as long as nothing else is begun.
   */
  begin(read: {
    readonly slot: Slot;
    readonly description: string;
    readonly length: number;
    readonly exact: boolean;
    readonly final: boolean;
    readonly progress: Progress;
  }): void {
    const view = this.#view;
    const marked = read.exact ? Math.min(read.length, MARK_BYTES) : read.length;
    for (let i = read.length - marked; i < read.length; i++) this.chunk[i] = this.#markByte(i);
    if (read.description !== this.#described) {
      const { read: taken, written } = new TextEncoder().encodeInto(
        read.description,
        this.#u8.subarray(AT_DESCRIPTION, AT_DESCRIPTION + DESCRIPTION_BYTES_MAX),
      );
      ok(taken === read.description.length, 'a description fits');
      view.setInt32(AT_DESCRIPTION_BYTES, written, true);
      this.#described = read.description;
    }
    view.setInt32(AT_SLOT, read.slot, true);
    view.setInt32(AT_LENGTH, read.length, true);
    view.setInt32(AT_EXACT, read.exact ? 1 : 0, true);
    view.setInt32(AT_FINAL, read.final ? 1 : 0, true);
    view.setInt32(AT_PHASE, PHASE_READING, true);
    view.setInt32(AT_CHOSEN, 0, true);
    this.#putProgress(0, read.progress);
    this.#sequences[AT_SEQUENCE / 8] = (this.#sequences[AT_COMMITTED / 8] ?? 0) + 1;
  }

  #markByte(i: number): number {
    return this.#mark[i % MARK_BYTES] ?? 0;
  }

  #putProgress(entry: number, progress: Progress): void {
    const at = AT_ENTRIES + entry * ENTRY_BYTES;
    this.#view.setFloat64(at, progress.consumed, true);
    this.#view.setFloat64(at + 8, progress.size, true);
    this.#view.setBigUint64(at + 16, progress.ino, true);
  }

  /** The read brought `length` bytes. */
  arrived(length: number): void {
    this.#view.setInt32(AT_LENGTH, length, true);
    this.#view.setInt32(AT_PHASE, PHASE_READ, true);
  }

  /** So far the chunk is logged; for a rotation in the middle of it. */
  progress(progress: Progress): void {
    const other = 1 - this.#view.getInt32(AT_CHOSEN, true);
    this.#putProgress(other, progress);
    this.#view.setInt32(AT_CHOSEN, other, true);
  }

  /** The chunk is logged, and its unfinished line is in the slot; or the read brought nothing. */
  commit(): void {
    this.#sequences[AT_COMMITTED / 8] = this.#sequences[AT_SEQUENCE / 8] ?? 0;
  }

  /** The chunk that was in flight when an earlier process died, its bytes still in `chunk`; then `commit` it. */
  recover(): Recovered | undefined {
    const view = this.#view;
    if (this.#sequences[AT_SEQUENCE / 8] === this.#sequences[AT_COMMITTED / 8]) return undefined;
    const length = this.#arrivedBefore();
    if (length === 0 && view.getInt32(AT_FINAL, true) === 0) {
      this.commit();
      return undefined;
    }
    const at = AT_ENTRIES + view.getInt32(AT_CHOSEN, true) * ENTRY_BYTES;
    const described = this.#u8.subarray(AT_DESCRIPTION, AT_DESCRIPTION + view.getInt32(AT_DESCRIPTION_BYTES, true));
    return {
      description: new TextDecoder().decode(described),
      slot: view.getInt32(AT_SLOT, true),
      length,
      final: view.getInt32(AT_FINAL, true) === 1,
      progress: {
        consumed: view.getFloat64(at, true),
        size: view.getFloat64(at + 8, true),
        ino: view.getBigUint64(at + 16, true),
      },
    };
  }

  #arrivedBefore(): number {
    const length = this.#view.getInt32(AT_LENGTH, true);
    if (this.#view.getInt32(AT_PHASE, true) === PHASE_READ) return length;
    let last = length;
    while (last > 0 && this.chunk[last - 1] === this.#markByte(last - 1)) last--;
    // A pipe gives all or nothing: bytes at the end that happen to be the mark's were read, unless all of them are.
    if (this.#view.getInt32(AT_EXACT, true) === 1) return length - last >= Math.min(length, MARK_BYTES) ? 0 : length;
    return last;
  }

  [Symbol.dispose](): void {
    // Nothing is kept for a later process.
    const empty = this.#slots.size === 0 && this.#sequences[AT_SEQUENCE / 8] === this.#sequences[AT_COMMITTED / 8];
    if (empty) unlinkat(AT.FDCWD, this.#path);
    must('munmap', NR.munmap, this.#pages.base, TOTAL_BYTES);
    close(this.#fd);
  }
}
