/**
 * Shared libraries that are part of our work: libseccomp and libnftables. Each is opened on first use, since a daemon
 * without containers needs neither. Byte arguments are passed as objects at the call (see runtime.md, hazard 1).
 */
import { CString, dlopen, FFIType, type Pointer } from 'bun:ffi';
import { unavailable } from '#errdefs/errors.ts';
import { pagesView } from './machine.ts';

/** Address of a library's own object; 0 is NULL. */
export type Handle = number;

function opened<T>(what: string, packageName: string, open: () => T): T {
  try {
    return open();
  } catch (cause) {
    throw unavailable(`Cannot load ${what}: install the package ${packageName}`, { cause });
  }
}

/** NUL-terminated copy, to be passed at once. */
function cstring(text: string): Uint8Array {
  return Buffer.from(`${text}\0`);
}

const { ptr, u32, i32, u8 } = FFIType;

function openSeccomp() {
  return dlopen('libseccomp.so.2', {
    seccomp_init: { args: [u32], returns: ptr },
    seccomp_release: { args: [ptr], returns: FFIType.void },
    seccomp_arch_add: { args: [ptr, u32], returns: i32 },
    seccomp_arch_remove: { args: [ptr, u32], returns: i32 },
    seccomp_arch_native: { args: [], returns: u32 },
    seccomp_attr_set: { args: [ptr, i32, u32], returns: i32 },
    seccomp_rule_add_array: { args: [ptr, u32, i32, u32, ptr], returns: i32 },
    seccomp_syscall_resolve_name: { args: [ptr], returns: i32 },
    seccomp_syscall_resolve_name_arch: { args: [u32, ptr], returns: i32 },
    seccomp_export_bpf: { args: [ptr, i32], returns: i32 },
    seccomp_version: { args: [], returns: ptr },
  }).symbols;
}

/** libseccomp; results below 0 are -errno. */
export interface Seccomp {
  /** [major, minor, micro] */
  version(): readonly [number, number, number];
  init(defaultAction: number): Handle;
  release(context: Handle): void;
  archAdd(context: Handle, arch: number): number;
  archRemove(context: Handle, arch: number): number;
  archNative(): number;
  attrSet(context: Handle, attribute: number, value: number): number;
  /** `comparisons`: structs scmp_arg_cmp of 24 bytes (u32 arg, i32 op, u64 a, u64 b), `count` of them. */
  ruleAddArray(context: Handle, action: number, syscall: number, count: number, comparisons: Uint8Array): number;
  /** __NR_SCMP_ERROR (-1) when unknown; below -1: a pseudo number. */
  resolveName(name: string): number;
  resolveNameArch(arch: number, name: string): number;
  /** Writes the program to a descriptor (a memfd; read it back). */
  exportBpf(context: Handle, fd: number): number;
}

let seccomp: Seccomp | undefined;

export function loadSeccomp(): Seccomp {
  seccomp ??= opened('libseccomp', 'libseccomp2', () => {
    const lib = openSeccomp();
    const at = (handle: Handle) => handle as Pointer; // an address that the library gave
    return {
      version: () => {
        const address = Number(lib.seccomp_version());
        const words = new Uint32Array(new Uint8Array(copyOf(address, 12)).buffer);
        return [words[0] ?? 0, words[1] ?? 0, words[2] ?? 0];
      },
      init: (action) => Number(lib.seccomp_init(action)),
      release: (context) => lib.seccomp_release(at(context)),
      archAdd: (context, arch) => lib.seccomp_arch_add(at(context), arch),
      archRemove: (context, arch) => lib.seccomp_arch_remove(at(context), arch),
      archNative: () => lib.seccomp_arch_native(),
      attrSet: (context, attribute, value) => lib.seccomp_attr_set(at(context), attribute, value),
      ruleAddArray: (context, action, syscall, count, comparisons) =>
        lib.seccomp_rule_add_array(at(context), action, syscall, count, count === 0 ? null : comparisons),
      resolveName: (name) => lib.seccomp_syscall_resolve_name(cstring(name)),
      resolveNameArch: (arch, name) => lib.seccomp_syscall_resolve_name_arch(arch, cstring(name)),
      exportBpf: (context, fd) => lib.seccomp_export_bpf(at(context), fd),
    };
  });
  return seccomp;
}

function openNftables() {
  return dlopen('libnftables.so.1', {
    nft_ctx_new: { args: [u32], returns: ptr },
    nft_ctx_free: { args: [ptr], returns: FFIType.void },
    nft_ctx_buffer_output: { args: [ptr], returns: i32 },
    nft_ctx_unbuffer_output: { args: [ptr], returns: i32 },
    nft_ctx_buffer_error: { args: [ptr], returns: i32 },
    nft_ctx_get_output_buffer: { args: [ptr], returns: ptr },
    nft_ctx_get_error_buffer: { args: [ptr], returns: ptr },
    nft_ctx_output_set_flags: { args: [ptr, u32], returns: FFIType.void },
    nft_ctx_set_dry_run: { args: [ptr, u8], returns: FFIType.void },
    nft_run_cmd_from_buffer: { args: [ptr, ptr], returns: i32 },
  }).symbols;
}

/** libnftables; one context is kept for the life of its owner. */
export interface Nftables {
  /** `flags` 0. Output and errors of a context are buffered. */
  ctxNew(flags: number): Handle;
  ctxFree(context: Handle): void;
  bufferOutput(context: Handle): number;
  bufferError(context: Handle): number;
  /** Of the last run; empty when there was none. */
  getOutputBuffer(context: Handle): string;
  getErrorBuffer(context: Handle): string;
  /** 1<<4 is JSON (NFT_CTX_OUTPUT_JSON). */
  outputSetFlags(context: Handle, flags: number): void;
  setDryRun(context: Handle, dry: boolean): void;
  /** 0, or not when something failed: the error buffer says what. The commands are one transaction. */
  runCmdFromBuffer(context: Handle, commands: string): number;
}

let nftables: Nftables | undefined;

export function loadNftables(): Nftables {
  nftables ??= opened('libnftables', 'libnftables1', () => {
    const lib = openNftables();
    const at = (handle: Handle) => handle as Pointer; // an address that the library gave
    const text = (address: Pointer | bigint | null) =>
      address === null ? '' : new CString(at(Number(address))).slice(0);
    return {
      ctxNew: (flags) => Number(lib.nft_ctx_new(flags)),
      ctxFree: (context) => lib.nft_ctx_free(at(context)),
      bufferOutput: (context) => lib.nft_ctx_buffer_output(at(context)),
      bufferError: (context) => lib.nft_ctx_buffer_error(at(context)),
      getOutputBuffer: (context) => text(lib.nft_ctx_get_output_buffer(at(context))),
      getErrorBuffer: (context) => text(lib.nft_ctx_get_error_buffer(at(context))),
      outputSetFlags: (context, flags) => lib.nft_ctx_output_set_flags(at(context), flags),
      setDryRun: (context, dry) => lib.nft_ctx_set_dry_run(at(context), dry ? 1 : 0),
      runCmdFromBuffer: (context, commands) => lib.nft_run_cmd_from_buffer(at(context), cstring(commands)),
    };
  });
  return nftables;
}

/** SAFETY: `length` bytes at `address` are readable; they are copied at once. */
function copyOf(address: number, length: number): ArrayBuffer {
  return pagesView(address, length).slice(0);
}

let trim: ((pad: number) => number) | undefined;

/**
 * What libnftables has freed goes back to the kernel: reading the rules of a host with many tables left 30 MB in the
 * C library's heap, which the runtime itself does not use. Does nothing when that library was never loaded.
 */
export function trimMalloc(): void {
  if (nftables === undefined) return;
  trim ??= dlopen('libc.so.6', { malloc_trim: { args: [FFIType.u64], returns: i32 } }).symbols.malloc_trim;
  trim(0);
}
