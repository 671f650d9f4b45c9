/**
 * `create` and `run`: a bundle becomes a container. With `gated` the child is left waiting at a FIFO of its state directory
 * when we exit; else it runs. Whatever fails leaves nothing: no process, cgroup, mount or file.
 */
import { invalidParameter, messageOf, notFound } from '#errdefs/errors.ts';
import { Rollback } from '#pkg/rollback/rollback.ts';
import { log } from '#pkg/log/log.ts';
import { readText, realPath, resolvePath, writeText } from '#sys/host-files.ts';
import { close, mknodat, open, ownedFd, write } from '#sys/files.ts';
import { AT, O, S_IF } from '#sys/numbers.ts';
import { pidfdOpen, startTicks } from '#sys/processes.ts';
import { createCgroup, hasWritableCgroups } from '../cgroups/cgroups.ts';
import type { Gate } from '#sys/program.ts';
import type { Hooks, Spec } from '../spec.ts';
import { decodeSpec } from '../spec-decode.ts';
import { type PreparedStart, prepareStart, rootfsOfBundle } from '../start.ts';
import { terminalSize } from '../terminal.ts';
import { sendConsole } from './console-socket.ts';
import { withDefaultDevices } from './device-rules.ts';
import type { Early } from './early.ts';
import { runHooks, runHooksAnyway } from './hooks.ts';
import { endLaunched, type LaunchedProcess, type OciLauncher } from './launch.ts';
import { ociState, StateDirectory, type StoredState } from './state.ts';

export interface CreateOptions {
  readonly root: string;
  readonly id: string;
  readonly bundle: string;
  readonly pidFile?: string;
  readonly consoleSocket?: string;
  /** The child waits for `start`. */
  readonly gated: boolean;
  /** Without a console socket the caller takes the terminal's master. */
  readonly takesTerminal: boolean;
}

export interface CreatedContainer {
  readonly state: StoredState;
  readonly pid: number;
  /** The caller's to close. */
  readonly pidfd: number;
  /** Pid of the first process when the container is a second clone; to be reaped. */
  readonly firstPidfd: number | undefined;
  readonly master: number | undefined;
}

const OPEN = Uint8Array.of(1);

/** Errors: not-found, invalid-parameter. */
export function readBundle(bundle: string): Spec {
  const file = resolvePath(bundle, 'config.json');
  let text: string;
  try {
    text = readText(file);
  } catch (error) {
    throw notFound(`JSON specification file ${file} not found`, { cause: error });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalidParameter(`${file}: ${messageOf(error)}`, { cause: error });
  }
  return decodeSpec(value);
}

/** Path of the container's group below each hierarchy. */
export function cgroupPathOf(spec: Spec, id: string): string {
  const wanted = spec.linux?.cgroupsPath ?? '';
  if (wanted === '') return `/${id}`;
  if (/^[^/]*:[^/]*:[^/]*$/.test(wanted))
    throw invalidParameter(`linux.cgroupsPath: "${wanted}" is systemd's form; --systemd-cgroup is not supported`);
  return resolvePath('/', wanted);
}

export async function createContainer(options: CreateOptions, early: Early): Promise<CreatedContainer> {
  const { cgroups: host, launcher } = early;
  const bundle = resolvePath(process.cwd(), options.bundle);
  const spec = readBundle(bundle);
  const { root } = spec;
  if (spec.process === undefined) throw invalidParameter('process: is missing');
  if (root === undefined) throw invalidParameter('root: is missing');
  const terminal = spec.process.terminal === true;
  if (terminal && options.consoleSocket === undefined && !options.takesTerminal)
    throw invalidParameter('cannot allocate tty if runc will detach without setting console socket');
  if (!terminal && options.consoleSocket !== undefined)
    throw invalidParameter('cannot use console socket if runc will not detach or allocate tty');

  await using undo = new Rollback({ onUndoFailed: (step, err) => log.error('cannot undo', { step, err }) });
  const directory = new StateDirectory(options.root, options.id);
  directory.create();
  undo.defer('remove state directory', () => directory.remove());
  const cgroupPath = cgroupPathOf(spec, options.id);
  const resources = withDefaultDevices(spec.linux?.resources ?? {});
  const cgroup = createCgroup({ host, path: cgroupPath, resources, named: hasWritableCgroups(spec) });
  undo.defer('remove cgroup', () => cgroup.remove());

  const rootfsPath = realRoot(resolvePath(bundle, root.path));
  using rootfs = rootfsOfBundle(rootfsPath);
  using fifos = options.gated ? openFifos(directory) : undefined;
  const hasHooks = Object.values(spec.hooks ?? {}).some((list: unknown) => Array.isArray(list) && list.length > 0);
  const size = options.takesTerminal && terminal ? terminalSize(0) : undefined;
  using prepared = prepareStart({
    id: options.id,
    spec,
    rootfs: rootfs.fd,
    bundle,
    stdio: { stdin: 0, stdout: 1, stderr: 2 },
    cgroup,
    network: false,
    hooks: hasHooks,
    attachAt: rootfsPath,
    ...(fifos === undefined ? {} : { startFifo: fifos.gate }),
    ...(size === undefined ? {} : { consoleSize: size }),
  });
  for (const warning of prepared.warnings) log.warn('container start', { container: options.id, warning });
  const stored = (pid: number): StoredState => ({
    id: options.id,
    bundle,
    rootfs: rootfsPath,
    created: new Date().toISOString(),
    pid,
    startTicks: String(startTicks(pid) ?? 0),
    cgroupPath,
    started: !options.gated,
    endSteps: options.gated ? launcher.endSteps(prepared.program, prepared.afterGates) : [],
    spec,
  });
  const launched = launch({ options, prepared, launcher, spec, directory, stored, outcome: fifos?.outcome });
  const pid = launched.second ?? launched.pid;
  undo.defer('end the container', () => endLaunched(launched));
  const state = directory.tryRead();
  const reachedEnd = launched.failed === undefined && state !== undefined && state.pid === pid;
  if (!reachedEnd) throw prepared.explain(launched);

  const master = prepared.takeMaster();
  if (master !== undefined && options.consoleSocket !== undefined) {
    using owned = ownedFd(master);
    sendConsole(options.consoleSocket, owned.fd);
  }
  if (options.pidFile !== undefined) writeText(options.pidFile, String(pid));
  if (!options.gated) runHooksAnyway('poststart', { launcher, spec, state: ociState(state, 'running') });
  undo.commit();
  const second = launched.second !== undefined;
  return {
    state,
    pid,
    pidfd: second ? pidfdOpen(pid) : launched.pidfd,
    firstPidfd: second ? launched.pidfd : undefined,
    master: options.consoleSocket === undefined ? master : undefined,
  };
}

function realRoot(directory: string): string {
  try {
    return realPath(directory);
  } catch (error) {
    throw invalidParameter(`root.path: cannot use "${directory}": ${messageOf(error)}`, { cause: error });
  }
}

interface Fifos extends Disposable {
  readonly gate: number;
  readonly outcome: number;
}

/** Opened for reading and writing, so that neither side sees an end before its time. */
function openFifos(directory: StateDirectory): Fifos {
  for (const file of [directory.gate, directory.outcome]) mknodat(AT.FDCWD, file, S_IF.IFO | 0o600);
  const gate = open(directory.gate, O.RDWR);
  const outcome = open(directory.outcome, O.RDWR | O.NONBLOCK);
  return {
    gate,
    outcome,
    [Symbol.dispose]: () => {
      close(gate);
      close(outcome);
    },
  };
}

interface LaunchParts {
  readonly options: CreateOptions;
  readonly prepared: PreparedStart;
  readonly launcher: OciLauncher;
  readonly spec: Spec;
  readonly directory: StateDirectory;
  readonly stored: (pid: number) => StoredState;
  readonly outcome: number | undefined;
}

/** The state is written while the child stands at its last gate: what runs is known. */
function launch(parts: LaunchParts): LaunchedProcess {
  const { options, prepared, directory, stored } = parts;
  const atGate = (name: string, pid: number) => {
    if (name === 'maps') prepared.writeMaps(pid);
    if (name === 'hooks') hooksAt(['prestart', 'createRuntime', 'createContainer'], pid, parts);
    if (name === 'exec') {
      prepared.setLimits(pid);
      directory.write(stored(pid));
      if (!options.gated) hooksAt(['startContainer'], pid, parts);
    }
    const gates: readonly (Gate | undefined)[] = Object.values(prepared.gates);
    gates.find((gate) => gate?.name === name)?.open((fd) => write(fd, OPEN));
  };
  return parts.launcher.launch({
    program: prepared.program,
    cloneFlags: prepared.cloneFlags,
    onGate: atGate,
    ...(parts.outcome === undefined ? {} : { outcome: parts.outcome }),
  });
}

function hooksAt(kinds: readonly (keyof Hooks)[], pid: number, parts: LaunchParts): void {
  if (!kinds.some((kind) => (parts.spec.hooks?.[kind]?.length ?? 0) > 0)) return;
  using pidfd = ownedFd(pidfdOpen(pid));
  const state = ociState(parts.stored(pid), kinds.includes('startContainer') ? 'created' : 'creating');
  for (const kind of kinds)
    runHooks(kind, { launcher: parts.launcher, spec: parts.spec, state, containerPidfd: pidfd.fd });
}
