/** What is done with a container that exists: start, kill, delete, state, list, pause, resume, ps. */
import { conflict, invalidParameter, notFound } from '#errdefs/errors.ts';
import { errnoName, isErrno } from '#sys/errno.ts';
import { open, ownedFd, write } from '#sys/files.ts';
import { exists, listDirectory, removeFile } from '#sys/host-files.ts';
import { O, SIG } from '#sys/numbers.ts';
import { kill, pidfdOpen, pidfdSendSignal, startTicks } from '#sys/processes.ts';
import type { Cgroup } from '../cgroups/cgroup.ts';
import { openCgroup } from '../cgroups/cgroups.ts';
import { detectCgroups } from '../cgroups/detect.ts';
import { explainFailure } from '../explain.ts';
import { runHooks, runHooksAnyway } from './hooks.ts';
import { OciLauncher, pollReadable, readOutcomeFifo } from './launch.ts';
import { ociState, StateDirectory, statusOf, type Status, type StoredState } from './state.ts';

const KILL_LIMIT_MS = 10_000;
const SIGNAL_MAX = 64;

export interface Named {
  readonly directory: StateDirectory;
  readonly state: StoredState;
  readonly status: Status;
}

/** Errors: not-found. */
export function findContainer(root: string, id: string): Named {
  const directory = new StateDirectory(root, id);
  const state = directory.read();
  return { directory, state, status: statusOf(state) };
}

function cgroupOf(state: StoredState): Cgroup {
  return openCgroup(detectCgroups(), state.cgroupPath);
}

/** A pidfd that is certainly the container's. Errors: not-found when it has ended. */
export function pidfdOf(state: StoredState): Disposable & { readonly fd: number } {
  const gone = () => notFound('container not running');
  let fd: number;
  try {
    fd = pidfdOpen(state.pid);
  } catch (error) {
    throw isErrno(error, 'ESRCH', 'EINVAL') ? gone() : error;
  }
  const owned = ownedFd(fd);
  if (String(startTicks(state.pid)) === state.startTicks) return owned;
  owned[Symbol.dispose]();
  throw gone();
}

/** Opens the gate of a created container. Errors: conflict in any other state; StartError when execve fails. */
export function startContainer(root: string, id: string): void {
  const { directory, state, status } = findContainer(root, id);
  if (status === 'running') throw conflict('cannot start an already running container');
  if (status !== 'created') throw conflict(`cannot start a container that has ${status}`);
  const hooks = state.spec.hooks;
  const needsLauncher = (hooks?.startContainer?.length ?? 0) + (hooks?.poststart?.length ?? 0) > 0;
  using launcher = needsLauncher ? new OciLauncher() : undefined;
  using pidfd = pidfdOf(state);
  const context = { spec: state.spec, containerPidfd: pidfd.fd };
  if (launcher !== undefined) runHooks('startContainer', { ...context, launcher, state: ociState(state, 'created') });
  using outcome = ownedFd(open(directory.outcome, O.RDONLY));
  using gate = ownedFd(open(directory.gate, O.WRONLY));
  write(gate.fd, Uint8Array.of(1));
  const result = readOutcomeFifo(outcome.fd, state.endSteps, errnoName);
  directory.write({ ...state, started: true, endSteps: [] });
  removeFile(directory.gate);
  removeFile(directory.outcome);
  const { process } = state.spec;
  if (result.failed !== undefined)
    throw explainFailure(result, { program: process?.args?.[0] ?? '', cwd: process?.cwd ?? '/' });
  if (launcher !== undefined) runHooksAnyway('poststart', { ...context, launcher, state: ociState(state, 'running') });
}

/** 'TERM', 'SIGTERM' or '15'. Errors: invalid-parameter. */
export function signalNumber(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number > 0 && number <= SIGNAL_MAX) return number;
  }
  // The cast only widens the keys for a look-up by any name.
  const number = (SIG as Readonly<Record<string, number>>)[text.toUpperCase().replace(/^SIG/, '')];
  if (number === undefined) throw invalidParameter(`unknown signal "${text}"`);
  return number;
}

/** Errors: conflict when it is stopped. */
export function killContainer(root: string, id: string, signal: number, all: boolean): void {
  const { state, status } = findContainer(root, id);
  if (all) {
    for (const pid of cgroupOf(state).pids()) kill(pid, signal);
    return;
  }
  if (status === 'stopped') throw conflict('container not running');
  using pidfd = pidfdOf(state);
  pidfdSendSignal(pidfd.fd, signal);
}

/** Errors: conflict when it runs and is not forced; not-found when it does not exist and is not forced. */
export async function deleteContainer(root: string, id: string, force: boolean): Promise<void> {
  let found: Named;
  try {
    found = findContainer(root, id);
  } catch (error) {
    if (!force) throw error;
    // A create that died half-way has a directory and no state.
    new StateDirectory(root, id).remove();
    return;
  }
  const { directory, state, status } = found;
  if (status === 'running' && !force) throw conflict(`cannot delete container ${id} that is not stopped: ${status}`);
  if (status !== 'stopped') endNow(state);
  await cgroupOf(state).remove();
  if ((state.spec.hooks?.poststop?.length ?? 0) > 0) {
    using launcher = new OciLauncher();
    runHooksAnyway('poststop', { launcher, spec: state.spec, state: ociState(state, 'stopped') });
  }
  directory.remove();
}

function endNow(state: StoredState): void {
  try {
    using pidfd = pidfdOf(state);
    pidfdSendSignal(pidfd.fd, SIG.KILL);
    pollReadable([pidfd.fd], KILL_LIMIT_MS);
  } catch (error) {
    // It ended by itself meanwhile.
    if (!(error instanceof Error && error.message === 'container not running')) throw error;
  }
}

export async function pauseContainer(root: string, id: string): Promise<void> {
  const { state, status } = findContainer(root, id);
  if (status === 'stopped') throw conflict('container not running');
  await cgroupOf(state).freeze();
}

export async function resumeContainer(root: string, id: string): Promise<void> {
  const { state } = findContainer(root, id);
  const cgroup = cgroupOf(state);
  if (!cgroup.frozen()) throw conflict('container not paused');
  await cgroup.thaw();
}

export function containerPids(root: string, id: string): number[] {
  return cgroupOf(findContainer(root, id).state).pids();
}

/** As runc prints it. */
export interface StateDocument {
  readonly ociVersion: string;
  readonly id: string;
  readonly pid: number;
  readonly status: string;
  readonly bundle: string;
  readonly rootfs: string;
  readonly created: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly owner: string;
}

function documentOf({ state, status }: Named): StateDocument {
  const { annotations, ...rest } = ociState(state, status);
  const paused = status !== 'stopped' && cgroupOf(state).frozen();
  return {
    ociVersion: rest.ociVersion,
    id: rest.id,
    pid: rest.pid ?? 0,
    status: paused ? 'paused' : rest.status,
    bundle: rest.bundle,
    rootfs: state.rootfs,
    created: state.created,
    ...(annotations === undefined ? {} : { annotations }),
    owner: '',
  };
}

export function containerState(root: string, id: string): StateDocument {
  return documentOf(findContainer(root, id));
}

/** Every container below `root`, by id; those that a create has not finished are left out. */
export function listContainers(root: string): StateDocument[] {
  if (!exists(root)) return [];
  const documents: StateDocument[] = [];
  for (const id of listDirectory(root).names.sort()) {
    const state = new StateDirectory(root, id).tryRead();
    if (state !== undefined) documents.push(documentOf(findContainer(root, id)));
  }
  return documents;
}
