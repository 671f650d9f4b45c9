/**
 * A container's first process as a program of system calls. Everything with a condition in it is done here, outside, on
 * descriptors; the list holds what must happen inside the new namespaces and ends in execve. Nothing here changes a
 * namespace, mounts anything by path or starts a process: whoever has a zygote launches the result.
 *
 * Ownership: a PreparedStart owns what was made for it (mounts, terminal, gates) until it is disposed, once the outcome is
 * known. The root descriptor, the standard streams and a mount's `sourceFd` stay their owner's.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { writeValue } from '#sys/host-files.ts';
import { close, open, type OwnedFd, ownedFd } from '#sys/files.ts';
import { bindDetached, detachedDevpts, mountSetattr, type Pty } from '#sys/mounts.ts';
import { MOUNT_ATTR, O } from '#sys/numbers.ts';
import { Program, type Source } from '#sys/program.ts';
import { apparmorLabel } from './apparmor-label.ts';
import { explainFailure, type ProgramOutcome, StartError } from './explain.ts';
import { idMaps, idMapText } from './id-map.ts';
import { prepareRestrictions } from './mounts/masks.ts';
import { closePlace, type PreparedMounts, prepareMounts } from './mounts/prepare.ts';
import { planNamespaces, type NamespacePlan } from './namespaces/plan.ts';
import { ownRights, planProcess, type ProcessPlan } from './process-plan.ts';
import type { ChildStdio } from './process-steps.ts';
import { setLimitsOf } from './rlimits.ts';
import { compileSeccomp } from './seccomp/compile.ts';
import type { Process, Spec } from './spec.ts';
import { checkSpec } from './spec-check.ts';
import type { StartGates, StartParts, StartRequest } from './start-parts.ts';
import { buildStart } from './start-steps.ts';
import { giveStdio } from './stdio.ts';
import { makeTerminal } from './terminal.ts';

/** How long a start may take from launch to execve, time at gates included. */
export const START_DEADLINE_MS = 120_000;

export class PreparedStart implements Disposable {
  readonly program: Program;
  /** CLONE_NEW* of the launch. */
  readonly cloneFlags: number;
  /** The container is the second clone (`Outcome.second`, report 'second'); the first process ends with 0. */
  readonly secondClone: boolean;
  readonly gates: StartGates;
  readonly warnings: readonly string[];
  /** Number of the first step after everything that waits. */
  readonly afterGates: number;
  readonly #plan: ProcessPlan;
  readonly #spec: Spec;
  readonly #resources: Disposable[];
  readonly #mounts: readonly Disposable[];
  readonly #netlink: Source | undefined;
  readonly #limitsFromOutside: boolean;
  #master: number | undefined;

  constructor(made: {
    program: Program;
    namespaces: NamespacePlan;
    gates: StartGates;
    plan: ProcessPlan;
    spec: Spec;
    resources: Disposable[];
    mounts: readonly Disposable[];
    netlink: Source | undefined;
    afterGates: number;
    limitsFromOutside: boolean;
    master: number | undefined;
  }) {
    this.program = made.program;
    this.cloneFlags = made.namespaces.firstFlags;
    this.secondClone = made.namespaces.secondFlags !== undefined;
    this.gates = made.gates;
    this.warnings = made.plan.warnings;
    this.#plan = made.plan;
    this.#spec = made.spec;
    this.#resources = made.resources;
    this.#mounts = made.mounts;
    this.#netlink = made.netlink;
    this.afterGates = made.afterGates;
    this.#limitsFromOutside = made.limitsFromOutside;
    this.#master = made.master;
  }

  /** The terminal's master; from now on the caller's to close. Undefined without a terminal. */
  takeMaster(): number | undefined {
    const master = this.#master;
    this.#master = undefined;
    return master;
  }

  /** Number of the child's rtnetlink socket while it stands at `gates.network` (for pidfd_getfd). */
  get netlinkSocket(): number | undefined {
    if (this.#netlink === undefined) return undefined;
    return childNumber(this.program, this.#netlink);
  }

  /**
   * The child stands at `gates.exec`: every mount is where it belongs. Our descriptors of them go before the gate is
   * opened, while the child still has its own: whoever closes the last one waits for the kernel.
   */
  attached(): void {
    for (const mounts of this.#mounts) mounts[Symbol.dispose]();
  }

  /** Writes the id maps of a child that stands at `gates.maps`, and what it has no rights for any more. */
  writeMaps(pid: number): void {
    const { uidMappings = [], gidMappings = [] } = this.#spec.linux ?? {};
    writeValue(`/proc/${pid}/uid_map`, idMapText(uidMappings));
    writeValue(`/proc/${pid}/gid_map`, idMapText(gidMappings));
    lowerOomScore(pid, this.#plan.process.oomScoreAdj ?? 0);
  }

  /** The child stands at `gates.exec`: limits that it cannot set itself. */
  setLimits(pid: number): void {
    if (this.#limitsFromOutside) setLimitsOf(pid, this.#plan.limits);
  }

  /** Why the program failed, in Docker's words. */
  explain(outcome: ProgramOutcome): StartError {
    return explainFailure(outcome, { program: this.#plan.args[0] ?? '', cwd: this.#plan.process.cwd });
  }

  [Symbol.dispose](): void {
    for (const resource of this.#resources.splice(0).reverse()) resource[Symbol.dispose]();
    if (this.#master !== undefined) close(this.#master);
    this.#master = undefined;
  }
}

/** Without CAP_SYS_RESOURCE a score cannot go below the parent's: then it stays. */
function lowerOomScore(pid: number, score: number): void {
  if (score >= 0) return;
  try {
    writeValue(`/proc/${pid}/oom_score_adj`, String(score));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EACCES')) throw error;
  }
}

/** What a descriptor of the program is in the child. */
function childNumber(program: Program, source: Source): number {
  const first = 4 + program.descriptorCount;
  return source.index >= 0 ? 4 + source.index : first - 1 - source.index;
}

/** Errors: invalid-parameter, not-found, StartError, system. Nothing is left then. */
export function prepareStart(request: StartRequest): PreparedStart {
  checkSpec(request.spec);
  const resources: Disposable[] = [];
  try {
    return prepare(request, resources);
  } catch (error) {
    for (const resource of resources.reverse()) resource[Symbol.dispose]();
    throw error;
  }
}

function prepare(request: StartRequest, resources: Disposable[]): PreparedStart {
  const { spec } = request;
  const { process, linux = {} } = spec;
  if (process === undefined) throw invalidParameter('process: is missing');
  const ids = idMaps(linux.uidMappings, linux.gidMappings);
  const own = <T extends Disposable>(resource: T): T => {
    resources.push(resource);
    return resource;
  };

  const plan = planProcess(process, request.rootfs, ownRights());
  const namespaces = planNamespaces(linux.namespaces ?? [], {
    cgroupVersion: request.cgroup?.version ?? 1,
    clocksShifted: Object.keys(linux.timeOffsets ?? {}).length > 0,
  });
  const inUserNamespace = (linux.namespaces ?? []).some(({ type }) => type === 'user');
  const joins = namespaces.joins.map(({ type, path }) => own(openNamespace(type, path)).fd);
  const mounts = own(
    prepareMounts({
      root: request.rootfs,
      mounts: spec.mounts ?? [],
      bundle: request.bundle ?? '/',
      ids,
      maps: linux,
      cgroups: request.cgroup?.directories() ?? [],
      cgroupVersion: request.cgroup?.version ?? 1,
      devices: linux.devices ?? [],
      spares: request.spares,
    }),
  );
  if (!mounts.isBind('/dev')) mounts.makeDevices();
  const pty = process.terminal === true ? own(terminal(mounts, ids.uid(plan.uid), request, process)) : undefined;
  const restrictions = own(prepareRestrictions(mounts, linux.maskedPaths ?? [], linux.readonlyPaths ?? []));
  const cwd = workingDirectory(mounts, process.cwd);
  if (pty !== undefined) closePlace(mounts.table.locate('/dev/console', 'file'));
  const stdio = stdioOf(request, pty?.pty, ids.uid(plan.uid));
  const cgroupFd = openCgroup(request, own);
  if (spec.root?.readonly === true) mountSetattr(request.rootfs, { set: MOUNT_ATTR.RDONLY });

  const program = own(new Program());
  const filter = linux.seccomp === undefined ? undefined : compileSeccomp(linux.seccomp);
  const parts: StartParts = {
    request,
    process,
    plan,
    namespaces,
    joins,
    inUserNamespace,
    mounts,
    restrictions,
    stdio,
    pty: pty?.pty,
    cgroupFd,
    cwd,
  };
  const built = buildStart(program, parts, filter, apparmorLabel(process.apparmorProfile));
  for (const gate of Object.values(built.gates)) own(gate);
  return new PreparedStart({
    ...built,
    program,
    namespaces,
    plan,
    spec,
    resources,
    mounts: [restrictions, mounts],
    limitsFromOutside: inUserNamespace,
    master: pty?.takeMaster(),
  });
}

function openNamespace(type: string, path: string): OwnedFd {
  try {
    return ownedFd(open(path, O.RDONLY));
  } catch (error) {
    throw invalidParameter(`Cannot join ${type} namespace: "${path}" cannot be opened`, { cause: error });
  }
}

interface OwnedTerminal extends Disposable {
  readonly pty: Pty;
  takeMaster(): number;
}

function terminal(mounts: PreparedMounts, uid: number, request: StartRequest, process: Process): OwnedTerminal {
  const mounted = mounts.detachedAt('/dev/pts');
  const own = mounted === undefined ? ownedFd(detachedDevpts()) : undefined;
  let pty: Pty;
  try {
    pty = makeTerminal(mounted ?? own?.fd ?? -1, uid, request.consoleSize ?? process.consoleSize);
  } finally {
    own?.[Symbol.dispose]();
  }
  let masterIsOurs = true;
  return {
    pty,
    takeMaster: () => {
      masterIsOurs = false;
      return pty.master;
    },
    [Symbol.dispose]: () => {
      close(pty.slave);
      if (masterIsOurs) close(pty.master);
    },
  };
}

/** Made when it is missing, as Docker does. */
function workingDirectory(mounts: PreparedMounts, cwd: string): string {
  const place = mounts.table.locate(cwd, 'directory');
  closePlace(place);
  if (place.directory === false) {
    const message = `chdir to cwd ("${cwd}") set in config.json failed: not a directory`;
    throw new StartError('invalid-parameter', 126, message);
  }
  return place.path;
}

/** Pipes get the container's user as owner, else `echo > /dev/stdout` fails for anybody but root. */
function stdioOf(request: StartRequest, pty: Pty | undefined, uid: number): ChildStdio {
  if (pty !== undefined) return { stdin: pty.slave, stdout: pty.slave, stderr: pty.slave };
  const { stdio } = request;
  if (stdio === undefined) throw invalidParameter('A process without a terminal needs standard streams');
  giveStdio(stdio, uid);
  return stdio;
}

function openCgroup(request: StartRequest, own: (fd: OwnedFd) => OwnedFd): number | undefined {
  const join = request.cgroup?.join();
  return join?.version === 2 ? own(ownedFd(open(join.directory, O.RDONLY | O.DIRECTORY))).fd : undefined;
}

/** The root filesystem of a bundle: a private copy of the tree at `path`, for `StartRequest.rootfs`. */
export function rootfsOfBundle(path: string): OwnedFd {
  return ownedFd(bindDetached(path, { recursive: true }));
}
