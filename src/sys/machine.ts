/**
 * Memory outside the garbage collector's reach and the entries of our machine code. Everything else of sys stands on
 * this file; nothing outside sys imports it. Each thread that loads it has its own pages.
 */
import { CFunction, dlopen, FFIType, type Pointer, toArrayBuffer } from 'bun:ffi';
import { machineX64 } from './zygote/machine-x64.ts';

const libc = dlopen('libc.so.6', {
  mmap: {
    args: [FFIType.ptr, FFIType.u64, FFIType.i32, FFIType.i32, FFIType.i32, FFIType.i64],
    returns: FFIType.ptr,
  },
  mprotect: { args: [FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i32 },
  munmap: { args: [FFIType.ptr, FFIType.u64], returns: FFIType.i32 },
}).symbols;

const READ_WRITE = 3;
const READ_EXEC = 5;
const PRIVATE_ANONYMOUS_NORESERVE = 0x4022;
const MAP_FAILED = -1;

/** Maps `size` bytes of zeroed private memory; touched pages only are real. The mapping lives until `unmapPages`. */
export function mapPages(size: number): number {
  const at = Number(libc.mmap(null, size, READ_WRITE, PRIVATE_ANONYMOUS_NORESERVE, -1, 0));
  if (at === MAP_FAILED || at === 0) throw new Error(`mmap of ${size} bytes failed`);
  return at;
}

/** SAFETY: no view of these pages may be used afterwards. */
export function unmapPages(at: number, size: number): void {
  libc.munmap(asPointer(at), size);
}

/** SAFETY: the pages at `at` are mapped by mapPages and outlive the view. */
export function pagesView(at: number, size: number): ArrayBuffer {
  return toArrayBuffer(asPointer(at), 0, size);
}

/** Pointer is a branded number of bun-types; every address that we make is one. */
function asPointer(at: number): Pointer {
  return at as Pointer;
}

export const PAGE = 4096;

function machine(): typeof machineX64 {
  if (process.arch !== 'x64') throw new Error(`there is no machine code for "${process.arch}" yet, only for x64`);
  return machineX64;
}

/** Copies the code to `at` (one page) and makes it executable. */
function installCode(at: number): typeof machineX64.entries {
  const { hex, entries } = machine();
  new Uint8Array(pagesView(at, PAGE)).set(Uint8Array.fromHex(hex.replaceAll(' ', '')));
  if (libc.mprotect(asPointer(at), PAGE, READ_EXEC) !== 0) throw new Error('mprotect of the code page failed');
  return entries;
}

const codePage = mapPages(PAGE);
const entries = installCode(codePage);

/** One system call; `block` is the address of nr and six arguments. Returns the result or -errno. */
// bun-types calls every CFunction just callable; args and returns below are its signature.
export const callBlock = CFunction({
  ptr: asPointer(codePage + entries.call),
  args: [FFIType.ptr],
  returns: FFIType.i64_fast,
}) as unknown as (block: number) => number | bigint;

/** One system call whose second argument is a buffer (passed as the object itself, so its address cannot go stale). */
export const callDirect = CFunction({
  ptr: asPointer(codePage + entries.direct),
  args: [FFIType.i64_fast, FFIType.i64_fast, FFIType.ptr, FFIType.i64_fast, FFIType.i64_fast, FFIType.i64_fast],
  returns: FFIType.i64_fast,
}) as unknown as (nr: number, a1: number, buffer: Uint8Array, a3: number, a4: number, a5: number) => number | bigint;

/**
 * Maps a code page followed by `extra` bytes (the zygote keeps exactly this range) and returns the entry that makes the
 * zygote. SAFETY: call it on the main thread with all signals blocked; its middle child runs on this stack.
 */
export function zygotePages(extra: number): {
  readonly code: number;
  readonly end: number;
  make: (block: number) => number;
} {
  const code = mapPages(PAGE + extra);
  const at = installCode(code);
  const entry = { ptr: asPointer(code + at.zygote), args: [FFIType.ptr], returns: FFIType.i64_fast } as const;
  const make = CFunction(entry) as unknown as (block: number) => number | bigint;
  return { code, end: code + PAGE + extra, make: (block) => Number(make(block)) };
}
