/** `berth oci exec`: one more process in a running container. */
import { conflict, invalidParameter } from '#errdefs/errors.ts';
import { ownedFd, write } from '#sys/files.ts';
import { readText, writeText } from '#sys/host-files.ts';
import { pidfdOpen } from '#sys/processes.ts';
import { openCgroup } from '../cgroups/cgroups.ts';
import { detectCgroups } from '../cgroups/detect.ts';
import { prepareExec } from '../exec.ts';
import type { Process } from '../spec.ts';
import { decodeProcess } from '../spec-decode.ts';
import { terminalSize } from '../terminal.ts';
import { sendConsole } from './console-socket.ts';
import type { CreatedContainer } from './create.ts';
import { endLaunched, OciLauncher } from './launch.ts';
import { findContainer, pidfdOf } from './lifecycle.ts';

export interface ExecOptions {
  readonly root: string;
  readonly id: string;
  readonly args: readonly string[];
  readonly processFile?: string;
  readonly cwd?: string;
  readonly env: readonly string[];
  readonly user?: string;
  readonly additionalGids: readonly number[];
  readonly tty: boolean;
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  readonly apparmor?: string;
  readonly pidFile?: string;
  readonly consoleSocket?: string;
  readonly takesTerminal: boolean;
}

const OPEN = Uint8Array.of(1);

/** '1000' or '1000:1000', strictly numeric. */
function parseUser(text: string): { uid: number; gid: number } {
  const match = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(text);
  if (match === null) throw invalidParameter(`parsing ${text} as numbers failed: want uid[:gid]`);
  return { uid: Number(match[1]), gid: Number(match[2] ?? 0) };
}

function processOf(options: ExecOptions, container: Process): Process {
  if (options.processFile !== undefined) {
    const text: unknown = JSON.parse(readText(options.processFile));
    return decodeProcess(text);
  }
  if (options.args.length === 0) throw invalidParameter('process args cannot be empty');
  const more = options.capabilities;
  const added = (list: readonly string[] | undefined) => [...new Set([...(list ?? []), ...more])];
  const { capabilities } = container;
  return {
    ...container,
    terminal: options.tty,
    args: options.args,
    cwd: options.cwd ?? container.cwd,
    env: [...(container.env ?? []), ...options.env],
    noNewPrivileges: options.noNewPrivileges || container.noNewPrivileges === true,
    user: {
      ...container.user,
      ...(options.user === undefined ? {} : parseUser(options.user)),
      additionalGids: [...(container.user.additionalGids ?? []), ...options.additionalGids],
    },
    ...(options.apparmor === undefined ? {} : { apparmorProfile: options.apparmor }),
    ...(more.length === 0
      ? {}
      : {
          capabilities: {
            ...capabilities,
            bounding: added(capabilities?.bounding),
            effective: added(capabilities?.effective),
            permitted: added(capabilities?.permitted),
          },
        }),
  };
}

export function execInContainer(options: ExecOptions): Omit<CreatedContainer, 'state'> {
  const { state, status } = findContainer(options.root, options.id);
  if (status === 'stopped') throw conflict('cannot exec in a stopped container');
  const cgroup = openCgroup(detectCgroups(), state.cgroupPath);
  if (cgroup.frozen()) throw conflict('cannot exec in a paused container');
  if (state.spec.process === undefined) throw invalidParameter('process: is missing');
  const process = processOf(options, state.spec.process);
  if (process.terminal === true && options.consoleSocket === undefined && !options.takesTerminal)
    throw invalidParameter('cannot allocate tty if runc will detach without setting console socket');
  using container = pidfdOf(state);
  const size = options.takesTerminal && process.terminal === true ? terminalSize(0) : undefined;
  using prepared = prepareExec({
    containerId: options.id,
    spec: { ...state.spec, process },
    container: { pid: state.pid, pidfd: container.fd },
    stdio: { stdin: 0, stdout: 1, stderr: 2 },
    cgroup: cgroup.join(state.pid),
    ...(size === undefined ? {} : { consoleSize: size }),
  });
  using launcher = new OciLauncher();
  const launched = launcher.launch({
    program: prepared.program,
    cloneFlags: prepared.cloneFlags,
    onGate: (_, pid) => {
      prepared.setLimits(pid);
      prepared.gates.exec.open((fd) => write(fd, OPEN));
    },
  });
  if (launched.failed !== undefined) {
    endLaunched(launched);
    throw prepared.explain(launched);
  }
  const { second, pid, pidfd } = launched;
  const master = prepared.takeMaster();
  if (master !== undefined && options.consoleSocket !== undefined) {
    using owned = ownedFd(master);
    sendConsole(options.consoleSocket, owned.fd);
  }
  if (options.pidFile !== undefined) writeText(options.pidFile, String(second ?? pid));
  return {
    pid: second ?? pid,
    pidfd: second === undefined ? pidfd : pidfdOpen(second),
    firstPidfd: second === undefined ? undefined : pidfd,
    master: options.consoleSocket === undefined ? master : undefined,
  };
}
