/**
 * A process exec'd into a running container: the first child joins the container's namespaces through its pidfd, the second
 * clone enters its pid namespace. Looked up from outside are user, groups and terminal, through a descriptor of the
 * container's root.
 *
 * Ownership as in start.ts.
 */
import { conflict, invalidParameter } from '#errdefs/errors.ts';
import { isErrno } from '#sys/errno.ts';
import { close, open, ownedFd, type OwnedFd } from '#sys/files.ts';
import type { Pty } from '#sys/mounts.ts';
import { AT, CLONE, NR, O } from '#sys/numbers.ts';
import { type Gate, Program } from '#sys/program.ts';
import { apparmorLabel } from './apparmor-label.ts';
import type { CgroupJoin } from './cgroups/cgroup.ts';
import { explainFailure, type ProgramOutcome, type StartError } from './explain.ts';
import { idMaps } from './id-map.ts';
import { cloneFlagOf } from './namespaces/plan.ts';
import { addPersonality, addPriorities } from './process-extras.ts';
import { ownRights, planProcess, type ProcessPlan } from './process-plan.ts';
import {
  addCgroupJoin,
  addEnd,
  addLimits,
  addUngatedEnd,
  addSelfAttributes,
  addSession,
  addStdio,
  addWorkingDirectory,
  type ChildStdio,
} from './process-steps.ts';
import { compileSeccomp } from './seccomp/compile.ts';
import { setLimitsOf } from './rlimits.ts';
import type { Spec } from './spec.ts';
import { checkProcess } from './spec-check.ts';
import { giveStdio } from './stdio.ts';
import { type ConsoleSize, devptsOf, makeTerminal } from './terminal.ts';

export interface ExecProcessRequest {
  /** Of the container (names its session keyring). */
  readonly containerId: string;
  /** `process` is the exec's; `linux` the container's. */
  readonly spec: Spec;
  /** The container's first process, alive. The caller's to close. */
  readonly container: { readonly pid: number; readonly pidfd: number };
  readonly stdio?: ChildStdio;
  readonly consoleSize?: ConsoleSize;
  readonly cgroup?: CgroupJoin;
}

export class PreparedExec implements Disposable {
  readonly program: Program;
  /** No new namespaces for the first clone. */
  readonly cloneFlags = 0;
  /** The process is the second clone; the first ends with 0. False where the container shares the host's pid namespace. */
  readonly secondClone: boolean;
  readonly gates: { readonly exec: Gate };
  readonly warnings: readonly string[];
  readonly #plan: ProcessPlan;
  readonly #limitsFromOutside: boolean;
  readonly #resources: Disposable[];
  #master: number | undefined;

  constructor(made: {
    program: Program;
    secondClone: boolean;
    exec: Gate;
    plan: ProcessPlan;
    limitsFromOutside: boolean;
    resources: Disposable[];
    master: number | undefined;
  }) {
    this.program = made.program;
    this.secondClone = made.secondClone;
    this.gates = { exec: made.exec };
    this.warnings = made.plan.warnings;
    this.#plan = made.plan;
    this.#limitsFromOutside = made.limitsFromOutside;
    this.#resources = made.resources;
    this.#master = made.master;
  }

  /** As PreparedStart.takeMaster. */
  takeMaster(): number | undefined {
    const master = this.#master;
    this.#master = undefined;
    return master;
  }

  /** As PreparedStart.setLimits. */
  setLimits(pid: number): void {
    if (this.#limitsFromOutside) setLimitsOf(pid, this.#plan.limits);
  }

  explain(outcome: ProgramOutcome): StartError {
    return explainFailure(outcome, { program: this.#plan.args[0] ?? '', cwd: this.#plan.process.cwd });
  }

  [Symbol.dispose](): void {
    disposeAll(this.#resources);
    if (this.#master !== undefined) close(this.#master);
    this.#master = undefined;
  }
}

/** Errors: invalid-parameter, not-found (user, group), conflict (the container has ended), StartError, system. */
export function prepareExec(request: ExecProcessRequest): PreparedExec {
  return owning((own) => {
    const { pty, program, plan, filter, secondClone } = begin(request, own);
    const limitsFromOutside = (request.spec.linux?.namespaces ?? []).some(({ type }) => type === 'user');
    const { exec } = addEnd(program, plan, filter, { limitsFromOutside });
    own(exec);
    const master = pty?.master;
    return (resources) => new PreparedExec({ program, secondClone, exec, plan, limitsFromOutside, resources, master });
  });
}

/**
 * A list that can be launched again and again, each time with other streams: no gate, no terminal. `uid` (a host id) is
 * who has to own the pipes. Errors: as `prepareExec`.
 */
export interface PreparedProbe extends Disposable {
  readonly program: Program;
  readonly secondClone: boolean;
  readonly uid: number;
  explain(outcome: ProgramOutcome): StartError;
}

export function prepareProbe(request: ExecProcessRequest & { readonly stdio: ChildStdio }): PreparedProbe {
  return owning((own) => {
    const { program, plan, filter, secondClone, uid } = begin(request, own, addLimits);
    addUngatedEnd(program, plan, filter);
    return (resources) => ({
      program,
      secondClone,
      uid,
      explain: (outcome) => explainFailure(outcome, { program: plan.args[0] ?? '', cwd: plan.process.cwd }),
      [Symbol.dispose]: () => disposeAll(resources),
    });
  });
}

type Own = <T extends Disposable>(resource: T) => T;

/** What `build` makes is disposed when it fails, else handed to what it returns. */
function owning<T>(build: (own: Own) => (resources: Disposable[]) => T): T {
  const resources: Disposable[] = [];
  try {
    const finish = build((resource) => {
      resources.push(resource);
      return resource;
    });
    return finish(resources);
  } catch (error) {
    disposeAll(resources);
    throw error;
  }
}

function disposeAll(resources: Disposable[]): void {
  for (const resource of resources.splice(0).reverse()) resource[Symbol.dispose]();
}

/** Everything up to the end of the list. `first`: before it enters the container, while it has our rights. */
function begin(
  request: ExecProcessRequest,
  own: Own,
  first: (program: Program, plan: ProcessPlan) => void = () => undefined,
) {
  const { process, linux = {} } = request.spec;
  if (process === undefined) throw invalidParameter('process: is missing');
  checkProcess(process);
  using root = openRoot(request);
  const plan = planProcess(process, root.fd, ownRights());
  const uid = idMaps(linux.uidMappings, linux.gidMappings).uid(plan.uid);
  const pty = process.terminal === true ? openTerminal(root, uid, request, process.consoleSize, own) : undefined;
  const stdio = pty === undefined ? request.stdio : { stdin: pty.slave, stdout: pty.slave, stderr: pty.slave };
  if (stdio === undefined) throw invalidParameter('A process without a terminal needs standard streams');
  if (pty === undefined) giveStdio(stdio, uid);

  const program = own(new Program());
  addStdio(program, stdio);
  first(program, plan);
  addSelfAttributes(program, plan, apparmorLabel(process.apparmorProfile));
  addCgroupJoin(program, request.cgroup);
  const secondClone = addJoin(program, request, own);
  addSession(program, request.containerId, pty !== undefined);
  addWorkingDirectory(program, AT.FDCWD, process.cwd);
  addPersonality(program, linux.personality);
  addPriorities(program, process);
  const filter = linux.seccomp === undefined ? undefined : compileSeccomp(linux.seccomp);
  return { program, plan, filter, secondClone, uid, pty };
}

function openRoot({ container, containerId }: ExecProcessRequest): OwnedFd {
  try {
    return ownedFd(open(`/proc/${container.pid}/root`, O.PATH | O.DIRECTORY));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) throw conflict(`container ${containerId} is not running`, { cause: error });
    throw error;
  }
}

/**
 * Joins everything the container has for itself. On v2 the process is cloned into the group and only then enters the
 * cgroup namespace. Where a second clone is not needed for the pid namespace it is for the group of v2.
 */
function addJoin(program: Program, request: ExecProcessRequest, own: Own): boolean {
  const namespaces = request.spec.linux?.namespaces ?? [];
  const v2 = request.cgroup?.version === 2 ? request.cgroup.directory : undefined;
  const pidfd = program.fd(request.container.pidfd);
  let flags = 0;
  let cgroupNamespace = 0;
  for (const { type } of namespaces) {
    if (type === 'cgroup' && v2 !== undefined) cgroupNamespace = cloneFlagOf.cgroup;
    else flags |= cloneFlagOf[type];
  }
  program.do("join the container's namespaces", NR.setns, pidfd, flags >>> 0);
  const secondClone = (flags & CLONE.NEWPID) !== 0 || v2 !== undefined;
  if (secondClone) {
    const group = v2 === undefined ? undefined : program.fd(own(ownedFd(open(v2, O.RDONLY | O.DIRECTORY))).fd);
    program.cloneAgain('clone the process', 0, group);
  }
  if (cgroupNamespace !== 0) program.do("join the container's cgroup namespace", NR.setns, pidfd, cgroupNamespace);
  return secondClone;
}

function openTerminal(
  root: OwnedFd,
  uid: number,
  request: ExecProcessRequest,
  size: ConsoleSize | undefined,
  own: Own,
): Pty {
  using devpts = devptsOf(root.fd);
  const pty = makeTerminal(devpts.fd, uid, request.consoleSize ?? size);
  own(ownedFd(pty.slave));
  return pty;
}
