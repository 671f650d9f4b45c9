/**
 * A program: a list of system calls that a copy of the zygote works through without a stack, ending in execve. It is
 * built here as bytes for an arena whose address is known only when it is sent, so every address inside is an `Address`
 * until `serialize`. A list never names a descriptor of its builder: `fd(n)` sends one along and stands for its number in
 * the child (3, 4, …); the launcher writes the numbers it received into the sources of exactly these first steps.
 *
 * The child: 3 is the outcome pipe, 4… the descriptors sent along, then the `slot`s. Everything else is closed before the
 * first step of the list, since a child that waits at a gate would otherwise hold every pipe of every other container.
 */
import { ok } from '#errdefs/assert.ts';
import { errnoName, errnoNumber } from './errno.ts';
import { Gate } from './gate.ts';
import { CLONE, NR, O } from './numbers.ts';

export type { Gate } from './gate.ts';

const utf8 = new TextEncoder();

/** Offset in the program's arena; its address is known when it is serialized. */
export class Address {
  readonly offset: number;

  constructor(offset: number) {
    this.offset = offset;
  }

  plus(bytes: number): Address {
    return new Address(this.offset + bytes);
  }
}

/** A descriptor as the child will number it. */
export class Source {
  readonly index: number;

  constructor(index: number) {
    this.index = index;
  }
}

export type ProgramArgument = number | bigint | string | Address | Source;

/** Number of a step in its program. */
export type StepIndex = number;

interface Step {
  readonly name: string;
  readonly nr: number;
  readonly args: readonly ProgramArgument[];
  /** For messages: what the step is about. */
  readonly path: string | undefined;
  flags: number;
  forgives: number;
  into: { readonly step: StepIndex; readonly arg: number } | undefined;
}

const FORGIVES = 1;
const LEAVES = 2;
const ZERO_FAILS = 4;
const TELLS_AND_GOES_ON = 8;

export const STEP_BYTES = 80;
const HEAD_BYTES = 144;
const AT_PIDFD = 8;
const AT_CGROUP = 80;
const AT_FIRST_STEP = 88;
const AT_OUTCOME_FD = 120;
/** The outcome pipe in the child. */
export const OUTCOME_FD = 3;
const FIRST_SOURCE = 4;
/** SCM_RIGHTS takes 253 descriptors: the list, the outcome pipe, and these. */
export const SOURCES_MAX = 251;
const CLOSE_RANGE_ALL = 0xffffffff;
const INT32_MAX = 0x7fff_ffff;

/** Where a launcher writes what only it knows. */
export interface SerializedProgram {
  readonly bytes: Uint8Array;
  /** Descriptors to send: the i-th is the source of step i + 1 (step 0 takes the outcome pipe). */
  readonly descriptors: readonly number[];
  /** Offset of the first argument of step 0; the next ones follow every STEP_BYTES. */
  readonly firstSourceAt: number;
  /** Index in `descriptors` of the cgroup to clone into, or undefined. */
  readonly cgroup: number | undefined;
}

/** What ended a program before execve. `errno` 0: a gate was closed. */
export interface StepFailure {
  readonly step: string;
  readonly errno: number;
  readonly code: string;
  readonly path?: string;
}

/** One message of the child on its outcome pipe. */
export type ProgramReport =
  | { readonly kind: 'arrived'; readonly gate: string }
  | { readonly kind: 'second'; readonly pid: number }
  | { readonly kind: 'note'; readonly failure: StepFailure }
  | { readonly kind: 'failed'; readonly failure: StepFailure };

/**
 * Buffers of programs that were given back, zeroed. 64 kB of garbage a start outside the JavaScript heap would let the
 * daemon grow for hundreds of starts before it is collected.
 */
const spareBytes: Uint8Array<ArrayBuffer>[] = [];
const SPARES_MAX = 8;
const PROGRAM_BYTES = 32_768;

/** Of `serialize`: a list is used up before the next one is made. */
let listBytes = new Uint8Array(2 * PROGRAM_BYTES);

export class Program implements Disposable {
  readonly #steps: Step[] = [];
  readonly #descriptors: number[] = [];
  readonly #sources = new Map<number, Source>();
  readonly #pointers: { readonly at: number; readonly to: Address | Source }[] = [];
  readonly #openGates: Gate[] = [];
  readonly #gates = new Map<StepIndex, string>();
  #slots = 0;
  #bytes: Uint8Array<ArrayBuffer> = spareBytes.pop() ?? new Uint8Array(PROGRAM_BYTES);
  #disposed = false;
  #used = HEAD_BYTES;
  #cgroup: Source | undefined;

  /** A step that must succeed: the result must not be negative. */
  do(name: string, nr: number, ...args: readonly ProgramArgument[]): StepIndex {
    ok(args.length <= 6, 'a system call has six arguments');
    const kept = args.map((a) => (typeof a === 'string' ? this.str(a) : a));
    const path = args.find((a) => typeof a === 'string' && a !== '');
    this.#steps.push({
      name,
      nr,
      args: kept,
      path: typeof path === 'string' ? path : undefined,
      flags: 0,
      forgives: 0,
      into: undefined,
    });
    return this.#steps.length - 1;
  }

  /** A step that may fail with this one errno ('ENOENT'); then its followers see a negative number. */
  optional(name: string, errno: string, nr: number, ...args: readonly ProgramArgument[]): StepIndex {
    const index = this.do(name, nr, ...args);
    const step = this.#step(index);
    step.flags |= FORGIVES;
    step.forgives = errnoNumber(errno);
    return index;
  }

  /** When the optional step `index` is forgiven, the steps up to (not with) the next one added are skipped. */
  skipsToHere(index: StepIndex): void {
    const skipped = this.#steps.length - index - 1;
    const step = this.#step(index);
    ok((step.flags & FORGIVES) !== 0, 'only an optional step skips');
    step.flags = (step.flags & 0xff) + skipped * STEP_BYTES * 0x1_0000_0000;
  }

  /** A step whose failure is told as a 'note' and forgiven: one execve for each entry of PATH. */
  attempt(name: string, nr: number, ...args: readonly ProgramArgument[]): StepIndex {
    const index = this.do(name, nr, ...args);
    this.#step(index).flags |= TELLS_AND_GOES_ON;
    return index;
  }

  /** Ends the program as failed by `errno`: the end of a search through PATH. */
  fail(name: string): StepIndex {
    // No such system call: ENOSYS, and the notes before it say why.
    return this.do(name, 0xfff);
  }

  /** The result of step `from` becomes argument `arg` of step `to`. */
  feed(from: StepIndex, to: StepIndex, arg: number): void {
    const step = this.#step(from);
    ok(step.into === undefined, 'a result goes to one argument; use a slot for more');
    ok(to > from && arg >= 0 && arg < 6);
    step.into = { step: to, arg };
  }

  /** Runs `from`'s result into the first argument of a new step. */
  doWith(from: StepIndex, name: string, nr: number, ...rest: readonly ProgramArgument[]): StepIndex {
    const to = this.do(name, nr, 0, ...rest);
    this.feed(from, to, 0);
    return to;
  }

  /** The child tells that it has arrived and waits there; when its opener is gone it ends. */
  gate(name: string): Gate {
    const gate = this.#newGate(name);
    this.#openGates.push(gate);
    const source = this.fd(gate.readEnd);
    const record = this.alloc(16);
    const told = this.do(`arrive at ${name}`, NR.write, OUTCOME_FD, record, 16);
    this.#gates.set(told, name);
    this.#pointers.push({ at: record.offset + 8, to: new Address(-1 - told) });
    this.#step(this.do(name, NR.read, source, this.alloc(8), 1)).flags |= ZERO_FAILS;
    return gate;
  }

  /**
   * A second clone3: the child goes on with the next step; its parent tells the pid and ends with 0. The child is the
   * monitor's (CLONE_PARENT).
   */
  cloneAgain(name: string, flags: number | bigint = 0, cgroup?: Source): StepIndex {
    const at = this.alloc(88);
    let all = BigInt(flags) | BigInt(CLONE.PARENT);
    if (cgroup !== undefined) {
      all |= CLONE.INTO_CGROUP;
      this.#pointers.push({ at: at.offset + AT_CGROUP, to: cgroup });
    }
    this.#view().setBigUint64(at.offset, all, true);
    const index = this.do(name, NR.clone3, at, 88);
    this.#step(index).flags |= LEAVES;
    return index;
  }

  /** Sends a descriptor along; stays the caller's. The same descriptor is sent once. */
  fd(hostFd: number): Source {
    const known = this.#sources.get(hostFd);
    if (known !== undefined) return known;
    ok(this.#descriptors.length < SOURCES_MAX, 'too many descriptors for one start');
    this.#descriptors.push(hostFd);
    const source = new Source(this.#descriptors.length - 1);
    this.#sources.set(hostFd, source);
    return source;
  }

  /** Number of descriptors sent along so far; a start takes at most SOURCES_MAX. */
  get descriptorCount(): number {
    return this.#descriptors.length;
  }

  /** A number of the child's table that is free: for dup3, when a result is needed more than once. */
  slot(): Source {
    this.#slots += 1;
    return new Source(-this.#slots);
  }

  /** Keeps the result of `from` (a descriptor) under a number and returns that. */
  keep(from: StepIndex): Source {
    const slot = this.slot();
    this.doWith(from, `keep ${this.#step(from).name}`, NR.dup3, slot, O.CLOEXEC);
    return slot;
  }

  /** Clones the child itself into a cgroup (v2): a descriptor of its directory. */
  cloneIntoCgroup(hostFd: number): void {
    this.#cgroup = this.fd(hostFd);
  }

  /** Zeroed bytes. */
  alloc(length: number, align = 8): Address {
    const offset = (this.#used + align - 1) & ~(align - 1);
    this.#used = offset + length;
    if (this.#used > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#used, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return new Address(offset);
  }

  bytes(bytes: Uint8Array, align = 8): Address {
    const address = this.alloc(bytes.length, align);
    this.#bytes.set(bytes, address.offset);
    return address;
  }

  str(text: string): Address {
    ok(!text.includes('\0'), 'a string for the kernel holds no NUL');
    return this.bytes(utf8.encode(`${text}\0`), 1);
  }

  /** NULL-terminated array of pointers. */
  pointers(addresses: readonly Address[]): Address {
    const table = this.alloc(8 * (addresses.length + 1));
    for (const [i, to] of addresses.entries()) this.#pointers.push({ at: table.offset + 8 * i, to });
    return table;
  }

  /** NULL-terminated array of strings. */
  argv(list: readonly string[]): Address {
    return this.pointers(list.map((text) => this.str(text)));
  }

  /** A struct with addresses or descriptors (8 bytes each) in it, by offset. */
  struct(bytes: Uint8Array, pointers: Readonly<Record<number, Address | Source>> = {}): Address {
    const address = this.bytes(bytes);
    for (const [at, to] of Object.entries(pointers)) this.#pointers.push({ at: address.offset + Number(at), to });
    return address;
  }

  get steps(): readonly { readonly name: string; readonly path: string | undefined }[] {
    return this.#steps;
  }

  /** For fault tests: lets step `index` fail with ENOSYS. */
  failAt(index: StepIndex): void {
    const step = this.#step(index);
    this.#steps[index] = { ...step, nr: 0xfff, forgives: 0, flags: 0 };
  }

  /** Without it the program is of no use: the gates made before it go too. */
  #newGate(name: string): Gate {
    try {
      return new Gate(name);
    } catch (error) {
      for (const gate of this.#openGates) gate[Symbol.dispose]();
      throw error;
    }
  }

  #step(index: StepIndex): Step {
    const step = this.#steps[index];
    ok(step !== undefined, 'a step of this program');
    return step;
  }

  #view(): DataView {
    return new DataView(this.#bytes.buffer);
  }

  /** Called by the launcher when the descriptors have gone to the child: closes the gates' read ends here. */
  sent(): void {
    for (const gate of this.#openGates) gate.sent();
  }

  /** Number of steps before the list's own: the descriptors, close_range, the slots. */
  get #prologue(): number {
    return this.#descriptors.length + 2 + this.#slots;
  }

  /** What a source will be in the child. Preconditions: no more descriptors are sent along. */
  numberOf(value: Source): number {
    const first = FIRST_SOURCE + this.#descriptors.length;
    return value.index >= 0 ? FIRST_SOURCE + value.index : first - 1 - value.index;
  }

  /**
   * The bytes for an arena at `base` of at most `bytesMax`. `cloneFlags` are CLONE_NEW*; PIDFD and PARENT are added. The
   * program can be serialized again. The bytes are valid until the next call, of any program.
   */
  serialize(base: number, bytesMax: number, cloneFlags: number | bigint): SerializedProgram {
    ok(!this.#disposed, 'a program that was not given back');
    ok(FIRST_SOURCE + this.#descriptors.length + this.#slots <= 256, 'the child numbers its descriptors below 256');
    const count = this.#prologue + this.#steps.length;
    const table = (this.#used + 7) & ~7;
    const results = table + count * STEP_BYTES;
    const total = results + count * 8;
    if (total > bytesMax) throw new RangeError(`a list of ${total} bytes is longer than the arena of ${bytesMax}`);
    if (listBytes.length < total) listBytes = new Uint8Array(2 * total);
    const bytes = listBytes.subarray(0, total);
    bytes.set(this.#bytes.subarray(0, this.#used));
    bytes.fill(0, this.#used);
    const view = new DataView(listBytes.buffer);
    const put = (at: number, value: ProgramArgument) => {
      if (value === 0) return; // zero already
      if (typeof value === 'number' && value > 0 && value <= INT32_MAX) return view.setInt32(at, value, true);
      const resolved = this.#resolved(value, base, table);
      if (typeof resolved === 'bigint') view.setBigInt64(at, resolved, true);
      else {
        // Without a bigint for each of some thousand words: half a millisecond where this code is cold.
        view.setUint32(at, resolved, true);
        view.setInt32(at + 4, Math.floor(resolved / 0x1_0000_0000), true);
      }
    };
    for (const { at, to } of this.#pointers) put(at, to);
    this.#putSteps(put, base, table, results);
    const into = this.#cgroup === undefined ? 0n : CLONE.INTO_CGROUP;
    put(0, BigInt(cloneFlags) | BigInt(CLONE.PIDFD | CLONE.PARENT) | into);
    put(AT_PIDFD, 0); // the zygote's own place
    put(AT_FIRST_STEP, base + table);
    put(AT_OUTCOME_FD, OUTCOME_FD);
    return {
      bytes,
      descriptors: [...this.#descriptors],
      firstSourceAt: table + 8,
      cgroup: this.#cgroup?.index,
    };
  }

  /** Gives the buffer back; names of steps and records are still told apart. Idempotent. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    const bytes = this.#bytes;
    this.#bytes = new Uint8Array(0);
    if (bytes.length !== PROGRAM_BYTES || spareBytes.length === SPARES_MAX) return;
    bytes.fill(0, 0, this.#used);
    spareBytes.push(bytes);
  }

  #resolved(value: ProgramArgument, base: number, table: number): number | bigint {
    if (typeof value === 'number') return value;
    if (value instanceof Source) return this.numberOf(value);
    if (value instanceof Address) {
      // A negative offset stands for the address of a step: its record names the gate.
      if (value.offset < 0) return base + table + (this.#prologue - 1 - value.offset) * STEP_BYTES;
      return base + value.offset;
    }
    ok(typeof value !== 'string');
    return BigInt.asIntN(64, value);
  }

  #putSteps(put: (at: number, v: ProgramArgument) => void, base: number, table: number, results: number): void {
    const put1 = (index: number, nr: number, args: readonly ProgramArgument[], result: number) => {
      const at = table + index * STEP_BYTES;
      put(at, nr);
      for (let k = 0; k < args.length; k++) put(at + 8 + 8 * k, args[k] ?? 0);
      put(at + 56, base + result);
    };
    // The first argument of these is written by the launcher.
    const received = this.#descriptors.length + 1;
    for (let i = 0; i < received; i++) put1(i, NR.dup3, [0, OUTCOME_FD + i, O.CLOEXEC], results + 8 * i);
    const free = FIRST_SOURCE + this.#descriptors.length;
    put1(received, NR.close_range, [free, CLOSE_RANGE_ALL, 0], results + 8 * received);
    // Slots are taken at once: else an open could get a slot's number, and dup3 of a descriptor onto itself is EINVAL.
    for (let i = 0; i < this.#slots; i++) {
      const index = received + 1 + i;
      put1(index, NR.dup3, [OUTCOME_FD, free + i, O.CLOEXEC], results + 8 * index);
    }
    for (const [i, step] of this.#steps.entries()) {
      const index = this.#prologue + i;
      const { into } = step;
      const result =
        into === undefined ? results + 8 * index : table + (this.#prologue + into.step) * STEP_BYTES + 8 + 8 * into.arg;
      put1(index, step.nr, step.args, result);
      put(table + index * STEP_BYTES + 64, step.flags);
      put(table + index * STEP_BYTES + 72, -step.forgives);
    }
  }

  /**
   * What a record of 16 bytes on the outcome pipe means. `firstStep` is base + the table's offset as it was serialized
   * (`firstStepAddress`).
   */
  report(record: DataView, firstStep: number): ProgramReport {
    const value = Number(record.getBigInt64(0, true));
    const index = (Number(record.getBigInt64(8, true)) - firstStep) / STEP_BYTES - this.#prologue;
    const gate = this.#gates.get(index);
    if (gate !== undefined && value === 0) return { kind: 'arrived', gate };
    const step = this.#steps[index];
    if (value > 0) return { kind: 'second', pid: value };
    const failure: StepFailure = {
      step: step?.name ?? 'take descriptors',
      errno: Math.abs(value),
      code: value === 0 ? 'closed' : errnoName(-value),
      ...(step?.path === undefined ? {} : { path: step.path }),
    };
    const note = step !== undefined && (step.flags & TELLS_AND_GOES_ON) !== 0;
    return { kind: note ? 'note' : 'failed', failure };
  }

  /** Address of the first step of `serialized` for an arena at `base`. */
  static firstStepAddress(serialized: SerializedProgram, base: number): number {
    return base + serialized.firstSourceAt - 8;
  }
}
