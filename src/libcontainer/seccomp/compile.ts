/**
 * OCI seccomp → the bytes of a BPF program, by libseccomp. Names that libseccomp does not know on any architecture are
 * decided in the stub when our table has their number, and skipped else, as every runtime does: profiles name calls of
 * many kernels. Compiled programs are kept by digest, since a start must not pay for what the last one paid for.
 */
import { invalidParameter, notImplemented, systemError } from '#errdefs/errors.ts';
import type { Seccomp, SeccompArgument, SeccompRule } from '#libcontainer/spec.ts';
import { fstat, memfdCreate, ownedFd, pread } from '#sys/files.ts';
import { type Handle, loadSeccomp, type Seccomp as Library } from '#sys/libraries.ts';
import {
  actions,
  architectures,
  ATTRIBUTE,
  filterFlags,
  numberOfNewer,
  operators,
  X32,
  X32_BIT,
  X86_64,
} from './constants.ts';
import { type StubArchitecture, stubOf } from './stub.ts';

/** What a start needs: the program for seccomp(SECCOMP_SET_MODE_FILTER, flags, program). */
export interface CompiledSeccomp {
  /** struct sock_filter, 8 bytes each. */
  readonly program: Uint8Array;
  readonly flags: number;
}

const EPERM = 1;
const EEXIST = -17;
const UNKNOWN = -1;
const INSTRUCTIONS_MAX = 4096; // BPF_MAXINSNS
const CACHED_MAX = 64;

const byIdentity = new WeakMap<Seccomp, CompiledSeccomp>();
const byDigest = new Map<string, CompiledSeccomp>();

/** Errors: invalid-parameter naming the unknown action, architecture, operator or flag. */
export function compileSeccomp(seccomp: Seccomp): CompiledSeccomp {
  const known = byIdentity.get(seccomp);
  if (known !== undefined) return known;
  const text = JSON.stringify(seccomp, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
  // Not node:crypto: loading that takes longer than a whole start.
  const digest = new Bun.CryptoHasher('sha256').update(text).digest('base64');
  const compiled = byDigest.get(digest) ?? compile(seccomp);
  byDigest.delete(digest);
  byDigest.set(digest, compiled);
  const [oldest] = byDigest.keys();
  if (byDigest.size > CACHED_MAX && oldest !== undefined) byDigest.delete(oldest);
  byIdentity.set(seccomp, compiled);
  return compiled;
}

function compile(seccomp: Seccomp): CompiledSeccomp {
  if (seccomp.listenerPath) throw notImplemented('Cannot use seccomp listenerPath: not supported yet');
  const fallback = actionOf(seccomp.defaultAction, seccomp.defaultErrnoRet);
  const flags = (seccomp.flags ?? []).reduce((all, name) => all | flagOf(name), 0);
  const library = loadSeccomp();
  const wanted = [...new Set((seccomp.architectures ?? []).map(archOf))];
  const native = library.archNative() >>> 0;
  const archs = wanted.includes(native) ? wanted : [native, ...wanted];
  const context = library.init(fallback);
  if (context === 0) throw invalidParameter(`Cannot use seccomp defaultAction "${seccomp.defaultAction}"`);
  try {
    for (const arch of archs) expect(library.archAdd(context, arch), 'add an architecture', [EEXIST]);
    expect(library.attrSet(context, ATTRIBUTE.CTL_NNP, 0), 'leave no_new_privs alone');
    // A tree instead of a list; refused by libraries older than 2.5, which then make the list.
    library.attrSet(context, ATTRIBUTE.CTL_OPTIMIZE, 2);
    const stubs = new Map(archs.map((arch) => [arch, stubFor(arch)]));
    for (const rule of seccomp.syscalls ?? []) addRule({ library, context, rule, fallback, stubs });
    const stub = stubOf([...stubs.values()], isRefusal(fallback));
    const filter = exported(library, context);
    const program = new Uint8Array(stub.length + filter.length);
    program.set(stub);
    program.set(filter, stub.length);
    if (program.length / 8 > INSTRUCTIONS_MAX) {
      throw invalidParameter(`Cannot use seccomp profile: its filter has more than ${INSTRUCTIONS_MAX} instructions`);
    }
    return { program, flags };
  } finally {
    library.release(context);
  }
}

interface MutableStub extends StubArchitecture {
  highest: number;
  readonly newer: Map<number, number>;
}

function stubFor(arch: number): MutableStub {
  const base = arch === X32 ? X32_BIT : 0;
  return { audit: arch === X32 ? X86_64 : arch, base, highest: base, newer: new Map() };
}

/** Allow, log and trace let a call through: then an unknown one is let through too. */
const isRefusal = (action: number): boolean => (action & 0xffff_0000) >>> 0 < 0x7ff0_0000 || action >= 0x8000_0000;

interface RuleRequest {
  readonly library: Library;
  readonly context: Handle;
  readonly rule: SeccompRule;
  readonly fallback: number;
  readonly stubs: ReadonlyMap<number, MutableStub>;
}

function addRule({ library, context, rule, fallback, stubs }: RuleRequest): void {
  const action = actionOf(rule.action, rule.errnoRet);
  const groups = comparisonsOf(rule.args ?? []);
  for (const name of rule.names) {
    const number = library.resolveName(name);
    for (const [arch, stub] of stubs) {
      const here = number === UNKNOWN ? (numberOfNewer(name, arch) ?? UNKNOWN) : library.resolveNameArch(arch, name);
      if (here < 0) continue;
      stub.highest = Math.max(stub.highest, here);
      if (number !== UNKNOWN) continue;
      if (rule.args !== undefined && rule.args.length > 0) {
        throw notImplemented(`Cannot filter arguments of "${name}": this libseccomp does not know it`);
      }
      stub.newer.set(here, action);
    }
    // The library refuses a rule that says what is said already.
    if (number === UNKNOWN || action === fallback) continue;
    for (const group of groups) {
      const count = group.length / COMPARISON_BYTES;
      expect(library.ruleAddArray(context, action, number, count, group), `add a rule for "${name}"`, [EEXIST]);
    }
  }
}

const COMPARISON_BYTES = 24;
const ARGUMENT_INDEX_MAX = 5;

/**
 * Conditions of one rule hold together; several on one argument cannot (libseccomp takes one each), and then every
 * condition is a rule of its own, as in the other runtimes.
 */
function comparisonsOf(args: readonly SeccompArgument[]): Uint8Array[] {
  const indexes = new Set(args.map((arg) => arg.index));
  if (indexes.size === args.length) return [encodeComparisons(args)];
  return args.map((arg) => encodeComparisons([arg]));
}

function encodeComparisons(args: readonly SeccompArgument[]): Uint8Array {
  const bytes = new Uint8Array(Math.max(1, args.length) * COMPARISON_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, { index, op, value, valueTwo }] of args.entries()) {
    const operator = operators[op];
    if (operator === undefined) throw invalidParameter(`Cannot use seccomp operator ${JSON.stringify(op)}`);
    if (index > ARGUMENT_INDEX_MAX) throw invalidParameter(`Cannot use seccomp argument index "${index}": want 0 to 5`);
    view.setUint32(COMPARISON_BYTES * i, index, true);
    view.setInt32(COMPARISON_BYTES * i + 4, operator, true);
    view.setBigUint64(COMPARISON_BYTES * i + 8, BigInt(value), true);
    view.setBigUint64(COMPARISON_BYTES * i + 16, BigInt(valueTwo ?? 0), true);
  }
  return args.length === 0 ? bytes.subarray(0, 0) : bytes;
}

function exported(library: Library, context: Handle): Uint8Array {
  using file = ownedFd(memfdCreate('seccomp'));
  expect(library.exportBpf(context, file.fd), 'export the filter');
  const bytes = new Uint8Array(fstat(file.fd).size);
  if (pread(file.fd, bytes, 0) !== bytes.length) throw systemError('Cannot export the filter: it was cut');
  return bytes;
}

function expect(result: number, what: string, forgiven: readonly number[] = []): void {
  if (result < 0 && !forgiven.includes(result)) throw systemError(`Cannot ${what}: libseccomp says ${result}`);
}

function actionOf(name: string, errno: number | undefined): number {
  if (name === 'SCMP_ACT_NOTIFY')
    throw notImplemented('Cannot use seccomp action "SCMP_ACT_NOTIFY": not supported yet');
  const action = actions[name];
  if (action === undefined) throw invalidParameter(`Cannot use seccomp action ${JSON.stringify(name)}`);
  if (action.carries !== true) {
    if (errno !== undefined && errno !== 0) {
      throw invalidParameter(`Cannot use errnoRet with seccomp action ${JSON.stringify(name)}`);
    }
    return action.value;
  }
  const number = errno ?? EPERM;
  if (number > 0xffff) throw invalidParameter(`Cannot use seccomp errnoRet "${number}"`);
  return (action.value | number) >>> 0;
}

function archOf(name: string): number {
  const arch = architectures[name];
  if (arch === undefined) throw invalidParameter(`Cannot use seccomp architecture ${JSON.stringify(name)}`);
  return arch;
}

function flagOf(name: string): number {
  const flag = filterFlags[name];
  if (flag === undefined) throw invalidParameter(`Cannot use seccomp flag ${JSON.stringify(name)}`);
  return flag;
}
