/**
 * One system call at a time on this thread. Raw calls return the result or -errno; EINTR is retried here and nowhere
 * else. Byte arrays are copied into memory that does not move and back again afterwards, so they serve for input and
 * output; bulk reads and writes take `transfer`. `interpose` lets a test record calls and let the k-th one fail.
 */
import { ok } from '#errdefs/assert.ts';
import { Arena } from './arena.ts';
import { SysError, type SysArgument } from './errno.ts';
import { callBlock, callDirect } from './machine.ts';
import { NR, syscallName } from './numbers.ts';

const EINTR = -4;
const ARGUMENT_BYTES_MAX = 1 << 20;
const BLOCK_BYTES = 56;
const SLOW_ARGUMENTS = 6;

// The block of nr and arguments lies at the start of the scratch arena; strings and structs behind it.
const scratch = new Arena(ARGUMENT_BYTES_MAX);
const block = scratch.alloc(BLOCK_BYTES);
const blockAddress = scratch.base + block;
/** What the block holds: most words of a call are zeros that the call before has left, and a write costs more than a look. */
const standing: (number | bigint)[] = [0, 0, 0, 0, 0, 0, 0];

function word(index: number, value: number | bigint): void {
  if (standing[index] === value) return;
  standing[index] = value;
  scratch.u64(block + 8 * index, value);
}

/** Stands for every call: makes it by `proceed`, or answers with a result or -errno of its own. */
export type Interposer = (nr: number, args: readonly SysArgument[], proceed: () => number) => number;

let interposer: Interposer | undefined;

/** Puts `hook` between callers and the kernel until it is disposed. For tests; one at a time. */
export function interpose(hook: Interposer): Disposable {
  ok(interposer === undefined, 'one interposer at a time');
  interposer = hook;
  return {
    [Symbol.dispose]: () => {
      interposer = undefined;
    },
  };
}

/** Result, or -errno. Strings become NUL-terminated copies; byte arrays are read and written back. */
export function call(nr: number, ...args: readonly SysArgument[]): number {
  ok(args.length <= SLOW_ARGUMENTS, 'a system call has six arguments');
  return interposer === undefined ? byBlock(nr, args) : interposer(nr, args, () => byBlock(nr, args));
}

function byBlock(nr: number, args: readonly SysArgument[]): number {
  const { view, u8 } = scratch;
  scratch.used = BLOCK_BYTES;
  word(0, nr);
  let copies = false;
  for (let i = 0; i < SLOW_ARGUMENTS; i++) {
    const arg = args[i] ?? 0;
    let value: number | bigint;
    if (typeof arg === 'string') value = scratch.str(arg);
    else if (typeof arg === 'object') {
      value = scratch.bytes(arg);
      copies = true;
    } else value = arg;
    word(i + 1, value);
  }
  let result = Number(callBlock(blockAddress));
  // An interrupted close has closed: again it could close another's descriptor of that number.
  while (result === EINTR && nr !== NR.close) result = Number(callBlock(blockAddress));
  if (copies) {
    for (const [i, arg] of args.entries()) {
      if (typeof arg !== 'object') continue;
      const at = Number(view.getBigInt64(block + 8 + 8 * i, true)) - scratch.base;
      arg.set(u8.subarray(at, at + arg.length));
    }
  }
  return result;
}

/** As `call`, but a failure is thrown as SysError under `name`. */
export function must(name: string, nr: number, ...args: readonly SysArgument[]): number {
  const result = call(nr, ...args);
  if (result < 0) throw new SysError(name, -result, args);
  return result;
}

/** A call over a buffer of any size without a copy: `nr(fd, buffer, length, a4, a5)`. Result, or -errno. */
export function transfer(nr: number, fd: number, buffer: Uint8Array, length = buffer.length, a4 = 0, a5 = 0): number {
  ok(length <= buffer.length);
  const made = () => direct(nr, fd, buffer, length, a4, a5);
  return interposer === undefined ? made() : interposer(nr, [fd, buffer, length, a4, a5], made);
}

function direct(nr: number, fd: number, buffer: Uint8Array, length: number, a4: number, a5: number): number {
  let result = Number(callDirect(nr, fd, buffer, length, a4, a5));
  while (result === EINTR) result = Number(callDirect(nr, fd, buffer, length, a4, a5));
  return result;
}

/** Throws SysError named after the call when `result` is -errno. */
export function check(nr: number, result: number, ...args: readonly SysArgument[]): number {
  if (result < 0) throw new SysError(syscallName(nr), -result, args);
  return result;
}
