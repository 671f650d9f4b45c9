/**
 * Steps that are the same for a container's first process and for one exec'd into it: what is written while the host's
 * /proc is still there, standard streams and terminal, and the end of the list: limits, ids, capabilities, filter, execve.
 *
 * Order matters. Without no_new_privs a filter may be loaded only with CAP_SYS_ADMIN, so it is loaded before capset and
 * must allow capset, prctl and execve; with no_new_privs it is the last call before execve.
 */
import { AT, CLOSE_RANGE, IOCTL, NR, O, PR, RESOLVE } from '#sys/numbers.ts';
import type { Address, Gate, Program, Source, StepIndex } from '#sys/program.ts';
import { capabilityBit, capsetBytes, lastCapabilityOfKernel } from './capabilities.ts';
import type { CgroupJoin } from './cgroups/cgroup.ts';
import { EXECVE, SEARCH, WORKING_DIRECTORY } from './explain.ts';
import type { ProcessPlan } from './process-plan.ts';
import type { CompiledSeccomp } from './seccomp/compile.ts';

const SIG_SETMASK = 2;
const SIGNAL_SET_BYTES = 8;
const KEYCTL_JOIN_SESSION_KEYRING = 1;
const SECCOMP_SET_MODE_FILTER = 1;
const FILTER_INSTRUCTION_BYTES = 8;
const OPEN_HOW_BYTES = 24;
const CAPSET_HEADER_BYTES = 8;
const AMBIENT = PR.CAP_AMBIENT;
const SYS_ADMIN = 1n << BigInt(capabilityBit('CAP_SYS_ADMIN'));

/** The child's ends. With a terminal all three are its slave. */
export interface ChildStdio {
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
}

/** Writes `text` to a file of the host's /proc or cgroup tree. */
export function writeStep(program: Program, name: string, path: string, text: string, forgives?: string): void {
  const open = program.do(`open ${path}`, NR.openat, AT.FDCWD, path, O.WRONLY | O.CLOEXEC, 0);
  const length = Buffer.byteLength(text);
  const write =
    forgives === undefined
      ? program.do(name, NR.write, 0, program.str(text), length)
      : program.optional(name, forgives, NR.write, 0, program.str(text), length);
  program.feed(open, write, 0);
}

/**
 * First of all, while /proc is the host's and our rights are whole: OOM score (0 too: the monitor's is inherited),
 * AppArmor label of the coming execve, cgroups of v1. Both attributes pass on to a second clone.
 */
export function addSelfAttributes(
  program: Program,
  plan: ProcessPlan,
  label: { readonly path: string; readonly text: string } | undefined,
): void {
  const { oomScoreAdj = 0 } = plan.process;
  // Without CAP_SYS_RESOURCE a score cannot go below the parent's: then it stays.
  writeStep(program, 'set OOM score', '/proc/self/oom_score_adj', String(oomScoreAdj), 'EACCES');
  if (label !== undefined) writeStep(program, 'set AppArmor label', label.path, label.text);
}

export function addCgroupJoin(program: Program, join: CgroupJoin | undefined): void {
  if (join?.version !== 1) return;
  for (const file of join.tasks) writeStep(program, 'join cgroup', file, '0');
}

export function addStdio(program: Program, stdio: ChildStdio): void {
  for (const [number, fd] of [stdio.stdin, stdio.stdout, stdio.stderr].entries())
    program.do(`take stream ${number}`, NR.dup3, program.fd(fd), number, 0);
}

/** A session of its own, its keyring, and the terminal when there is one. */
export function addSession(program: Program, id: string, terminal: boolean): void {
  program.do('new session', NR.setsid);
  if (terminal) program.do('take terminal', NR.ioctl, 0, IOCTL.TIOCSCTTY, 0);
  program.optional('new session keyring', 'ENOSYS', NR.keyctl, KEYCTL_JOIN_SESSION_KEYRING, `_ses.${id}`);
}

/**
 * The working directory, opened from the root without magic links, so that no descriptor of ours can be entered through
 * /proc/self/fd (CVE-2024-21626).
 */
export function addWorkingDirectory(program: Program, root: Source | number, cwd: string): void {
  const how = BigUint64Array.of(
    BigInt(O.PATH | O.DIRECTORY | O.CLOEXEC),
    0n,
    BigInt(RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS),
  );
  let relative = cwd;
  while (relative.startsWith('/')) relative = relative.slice(1);
  const open = program.do(
    WORKING_DIRECTORY,
    NR.openat2,
    root,
    relative === '' ? '.' : relative,
    program.bytes(new Uint8Array(how.buffer)),
    OPEN_HOW_BYTES,
  );
  program.doWith(open, 'enter working directory', NR.fchdir);
}

export function addLimits(program: Program, plan: ProcessPlan): void {
  for (const { resource, soft, hard } of plan.limits) {
    const limit = program.bytes(new Uint8Array(BigUint64Array.of(soft, hard).buffer));
    program.do(`set resource limit ${resource}`, NR.prlimit64, 0, resource, limit, 0);
  }
}

function addIds(program: Program, plan: ProcessPlan): void {
  const { bounding } = plan.capabilities;
  for (let bit = 0; bit <= lastCapabilityOfKernel(); bit++)
    if (((bounding >> BigInt(bit)) & 1n) === 0n) program.do(`drop capability ${bit}`, NR.prctl, PR.CAPBSET_DROP, bit);
  program.do('keep capabilities', NR.prctl, PR.SET_KEEPCAPS, 1);
  const groups = plan.groups.length === 0 ? 0 : program.bytes(new Uint8Array(Uint32Array.from(plan.groups).buffer));
  program.do('set groups', NR.setgroups, plan.groups.length, groups);
  program.do('set gid', NR.setresgid, plan.gid, plan.gid, plan.gid);
  program.do('set uid', NR.setresuid, plan.uid, plan.uid, plan.uid);
  program.do('keep no capabilities', NR.prctl, PR.SET_KEEPCAPS, 0);
}

function addCapset(program: Program, name: string, effective: bigint, permitted: bigint, inheritable: bigint): void {
  const header = program.bytes(capsetBytes(effective, permitted, inheritable));
  program.do(name, NR.capset, header, header.plus(CAPSET_HEADER_BYTES));
}

function addCapabilities(program: Program, plan: ProcessPlan): void {
  const { effective, permitted, inheritable, ambient } = plan.capabilities;
  addCapset(program, 'set capabilities', effective, permitted, inheritable);
  program.do('clear ambient capabilities', NR.prctl, AMBIENT, PR.CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (let bit = 0; bit <= lastCapabilityOfKernel(); bit++)
    if (((ambient >> BigInt(bit)) & 1n) === 1n)
      program.do(`raise ambient capability ${bit}`, NR.prctl, AMBIENT, PR.CAP_AMBIENT_RAISE, bit, 0, 0);
}

function addFilter(program: Program, filter: CompiledSeccomp): void {
  const instructions = program.bytes(filter.program);
  const length = new Uint8Array(16);
  new DataView(length.buffer).setUint16(0, filter.program.length / FILTER_INSTRUCTION_BYTES, true);
  const struct = program.struct(length, { 8: instructions });
  program.do('load seccomp filter', NR.seccomp, SECCOMP_SET_MODE_FILTER, filter.flags, struct);
}

function addExecve(program: Program, plan: ProcessPlan): void {
  const argv: Address = program.argv(plan.args);
  const envp = program.argv(plan.env);
  const execve = (path: string): StepIndex =>
    plan.searched
      ? program.attempt(EXECVE, NR.execve, path, argv, envp)
      : program.do(EXECVE, NR.execve, path, argv, envp);
  for (const candidate of plan.candidates) execve(candidate);
  if (plan.searched) program.fail(SEARCH);
}

export interface ListEnd {
  /** Passed when it is recorded that the process runs. */
  readonly exec: Gate;
  /** Number of the first step after everything that waits. */
  readonly afterGates: StepIndex;
}

export interface EndOptions {
  /** A FIFO (opened for both, so that it never ends) that gives a byte after the gate; it outlives who prepared the start. */
  readonly startFifo?: number | undefined;
  /** In a user namespace of its own a process cannot raise its limits: `setLimitsOf` does it while it stands at the gate. */
  readonly limitsFromOutside: boolean;
}

/** The end of every list. */
export function addEnd(
  program: Program,
  plan: ProcessPlan,
  filter: CompiledSeccomp | undefined,
  { startFifo, limitsFromOutside }: EndOptions,
): ListEnd {
  if (!limitsFromOutside) addLimits(program, plan);
  addRights(program, plan, filter);
  const exec = program.gate('exec');
  if (startFifo !== undefined)
    program.do('wait for start', NR.read, program.fd(startFifo), program.alloc(SIGNAL_SET_BYTES), 1);
  const afterGates = program.steps.length;
  addLast(program, plan, filter);
  return { exec, afterGates };
}

/** As `addEnd` for a process that nobody has to record before it runs: a health probe. Its limits are set already. */
export function addUngatedEnd(program: Program, plan: ProcessPlan, filter: CompiledSeccomp | undefined): void {
  addRights(program, plan, filter);
  addLast(program, plan, filter);
}

function addRights(program: Program, plan: ProcessPlan, filter: CompiledSeccomp | undefined): void {
  addIds(program, plan);
  if (plan.process.noNewPrivileges !== true && filter !== undefined) {
    // A change of uid emptied the effective set; the filter needs CAP_SYS_ADMIN in it.
    const { permitted, inheritable } = plan.capabilities;
    addCapset(program, 'raise CAP_SYS_ADMIN for the filter', SYS_ADMIN, SYS_ADMIN | permitted | inheritable, 0n);
  }
  program.do('set umask', NR.umask, plan.umask);
  program.do('close the rest', NR.close_range, 3, 0xffffffff, CLOSE_RANGE.CLOEXEC);
  const noSignals = program.bytes(new Uint8Array(SIGNAL_SET_BYTES));
  program.do('unblock signals', NR.rt_sigprocmask, SIG_SETMASK, noSignals, 0, SIGNAL_SET_BYTES);
}

function addLast(program: Program, plan: ProcessPlan, filter: CompiledSeccomp | undefined): void {
  const noNewPrivileges = plan.process.noNewPrivileges === true;
  if (noNewPrivileges) program.do('no new privileges', NR.prctl, PR.SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  else if (filter !== undefined) addFilter(program, filter);
  addCapabilities(program, plan);
  if (noNewPrivileges && filter !== undefined) addFilter(program, filter);
  addExecve(program, plan);
}
