/**
 * A workbench for libcontainer: a root filesystem of busybox, a specification like that of a default container, and a
 * zygote of this process. Nothing of a daemon is involved.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { createCgroup } from '#libcontainer/cgroups/cgroups.ts';
import { detectCgroups } from '#libcontainer/cgroups/detect.ts';
import type { Cgroup } from '#libcontainer/cgroups/cgroup.ts';
import { defaultCapabilities } from '#libcontainer/capabilities.ts';
import { prepareExec } from '#libcontainer/exec.ts';
import { defaultSpec } from '#libcontainer/oci/default-spec.ts';
import { withDefaultDevices } from '#libcontainer/oci/device-rules.ts';
import { type LaunchedProcess, OciLauncher } from '#libcontainer/oci/launch.ts';
import type { Mount, NamespaceType, Process, Spec } from '#libcontainer/spec.ts';
import { type PreparedStart, prepareStart, rootfsOfBundle } from '#libcontainer/start.ts';
import type { StartRequest } from '#libcontainer/start-parts.ts';
import { close, open, pipe2, readAll, write } from '#sys/files.ts';
import { O, W } from '#sys/numbers.ts';
import type { Program } from '#sys/program.ts';
import { exitCodeOf, killByPidfd, pidfdOpen, waitid } from '#sys/processes.ts';

const applets =
  'sh true false echo cat ls ps sleep id mount umount hostname ip tty touch grep stat pwd env mkdir ln dd chmod wc head ' +
  'kill readlink test unshare stty';
const OPEN = Uint8Array.of(1);

export interface SpecChanges {
  readonly process?: Partial<Process>;
  readonly linux?: Partial<NonNullable<Spec['linux']>>;
  readonly mounts?: readonly Mount[];
  readonly namespaces?: readonly NamespaceType[];
  readonly spec?: Partial<Spec>;
}

/** A container with Docker's defaults that runs `args`. */
export function specOf(args: readonly string[], changes: SpecChanges = {}): Spec {
  const names = [...defaultCapabilities];
  const types = changes.namespaces ?? ['mount', 'pid', 'network', 'ipc', 'uts'];
  return {
    ...defaultSpec,
    root: { path: 'rootfs' },
    process: {
      cwd: '/',
      args,
      env: ['PATH=/bin'],
      user: { uid: 0, gid: 0, username: '' },
      capabilities: { bounding: names, effective: names, permitted: names },
      ...changes.process,
    },
    mounts: [...(defaultSpec.mounts ?? []), ...(changes.mounts ?? [])],
    linux: { ...defaultSpec.linux, namespaces: types.map((type) => ({ type })), ...changes.linux },
    ...changes.spec,
  };
}

export interface Ran {
  readonly exitCode: number;
  readonly output: string;
  readonly error: Error | undefined;
}

export interface Running extends AsyncDisposable {
  readonly pid: number;
  readonly pidfd: number;
  readonly cgroup: Cgroup;
  readonly spec: Spec;
  readonly master: number | undefined;
  /** Waits for its end; the output is what it wrote (not with a terminal). */
  end(): Ran;
}

/** Other files run beside this one. */
const PREFIX = `berth-libcontainer-${process.pid}-`;

export class Bench implements AsyncDisposable {
  readonly directory = fs.mkdtempSync(path.join(os.tmpdir(), PREFIX));
  readonly rootfs = path.join(this.directory, 'rootfs');
  readonly launcher = new OciLauncher();
  readonly #cgroupHost = detectCgroups();
  readonly #null = open('/dev/null', O.RDWR);
  #count = 0;

  constructor() {
    for (const name of ['bin', 'proc', 'sys', 'dev', 'etc', 'tmp', 'root'])
      fs.mkdirSync(path.join(this.rootfs, name), { recursive: true });
    fs.chmodSync(path.join(this.rootfs, 'tmp'), 0o1777);
    fs.copyFileSync('/bin/busybox', path.join(this.rootfs, 'bin/busybox'));
    for (const applet of applets.split(' ')) fs.symlinkSync('busybox', path.join(this.rootfs, 'bin', applet));
    this.file('etc/passwd', 'root:x:0:0::/root:/bin/sh\nbob:x:1000:1001::/home/bob:/bin/sh\n1234:x:0:0::/:/bin/sh\n');
    this.file('etc/group', 'root:x:0:\nbob:x:1001:\nvideo:x:44:bob\n');
  }

  /** Writes a file of the image. */
  file(name: string, content: string): void {
    fs.writeFileSync(path.join(this.rootfs, name), content);
  }

  at(...names: string[]): string {
    return path.join(this.directory, ...names);
  }

  /** `change` sees the start before it is launched (fault tests). */
  start(spec: Spec, change: (prepared: PreparedStart) => void = () => undefined): Running {
    const id = `libcontainer-test-${process.pid}-${this.#count++}`;
    const resources = withDefaultDevices(spec.linux?.resources ?? {});
    const cgroup = createCgroup({ host: this.#cgroupHost, path: `/${id}`, resources });
    const out = pipe2();
    try {
      using root = rootfsOfBundle(this.rootfs);
      const request: StartRequest = {
        id,
        spec,
        rootfs: root.fd,
        bundle: this.directory,
        stdio: { stdin: this.#null, stdout: out.write, stderr: out.write },
        cgroup,
        network: false,
      };
      using prepared = prepareStart(request);
      change(prepared);
      const launched = this.launcher.launch({
        program: prepared.program,
        cloneFlags: prepared.cloneFlags,
        onGate: (name, pid) => {
          if (name === 'maps') prepared.writeMaps(pid);
          if (name === 'exec') prepared.setLimits(pid);
          const gate = name === 'maps' ? prepared.gates.maps : prepared.gates.exec;
          gate?.open((fd) => write(fd, OPEN));
        },
      });
      close(out.write);
      const error = launched.failed === undefined ? undefined : prepared.explain(launched);
      return this.#running(launched, { cgroup, spec, out: out.read, error, master: prepared.takeMaster() });
    } catch (error) {
      close(out.read);
      close(out.write);
      void cgroup.remove();
      throw error;
    }
  }

  #running(
    launched: LaunchedProcess,
    made: { cgroup: Cgroup; spec: Spec; out: number; error: Error | undefined; master: number | undefined },
  ): Running {
    const second = launched.second === undefined ? undefined : pidfdOpen(launched.second);
    const { master } = made;
    let ran: Ran | undefined;
    const end = (): Ran => {
      if (ran !== undefined) return ran;
      const output = Buffer.from(readAll(made.out)).toString();
      close(made.out);
      const first = waitid(W.P_PIDFD, launched.pidfd, 0);
      close(launched.pidfd);
      const ended = second === undefined ? first : waitid(W.P_PIDFD, second, 0);
      if (second !== undefined) close(second);
      ran = { exitCode: ended === undefined ? -1 : exitCodeOf(ended), output, error: made.error };
      return ran;
    };
    return {
      pid: launched.second ?? launched.pid,
      pidfd: second ?? launched.pidfd,
      cgroup: made.cgroup,
      spec: made.spec,
      master,
      end,
      [Symbol.asyncDispose]: async () => {
        if (ran === undefined) {
          killByPidfd(second ?? launched.pidfd);
          end();
        }
        if (master !== undefined) close(master);
        await made.cgroup.remove();
      },
    };
  }

  /** Runs a container to its end. */
  async run(args: readonly string[], changes: SpecChanges = {}): Promise<Ran> {
    await using container = this.start(specOf(args, changes));
    return container.end();
  }

  /** The lines that a shell command prints in a container. */
  async lines(script: string, changes: SpecChanges = {}): Promise<string[]> {
    const { output, error } = await this.run(['sh', '-c', script], changes);
    if (error !== undefined) throw error;
    return output.split('\n').filter((line) => line !== '');
  }

  exec(container: Running, process: Partial<Process>, change: (program: Program) => void = () => undefined): Ran {
    const out = pipe2();
    const { spec } = container;
    const base = spec.process ?? { cwd: '/', user: { uid: 0, gid: 0 } };
    const launch = () => {
      using prepared = prepareExec({
        containerId: 'test',
        spec: { ...spec, process: { ...base, ...process } },
        container: { pid: container.pid, pidfd: container.pidfd },
        stdio: { stdin: this.#null, stdout: out.write, stderr: out.write },
        cgroup: container.cgroup.join(),
      });
      change(prepared.program);
      const launched = this.launcher.launch({
        program: prepared.program,
        cloneFlags: prepared.cloneFlags,
        onGate: (_, pid) => {
          prepared.setLimits(pid);
          prepared.gates.exec.open((fd) => write(fd, OPEN));
        },
      });
      const error = launched.failed === undefined ? undefined : prepared.explain(launched);
      return { ...launched, error, master: prepared.takeMaster() };
    };
    try {
      const { pidfd, second, error, master } = launch();
      close(out.write);
      const output = master === undefined ? Buffer.from(readAll(out.read)).toString() : readTerminal(master);
      if (master !== undefined) close(master);
      waitid(W.P_PIDFD, pidfd, 0);
      close(pidfd);
      const ended = second === undefined ? undefined : waitid(W.P_PID, second, 0);
      return { exitCode: ended === undefined ? -1 : exitCodeOf(ended), output, error };
    } catch (error) {
      close(out.write);
      throw error;
    } finally {
      close(out.read);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.launcher[Symbol.dispose]();
    close(this.#null);
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What a terminal holds after its program has ended. */
export function readTerminal(master: number): string {
  const pieces: Buffer[] = [];
  const piece = Buffer.alloc(4096);
  for (;;) {
    try {
      const length = fs.readSync(master, piece);
      if (length === 0) break;
      pieces.push(Buffer.from(piece.subarray(0, length)));
    } catch {
      break; // EIO: no slave is open any more
    }
  }
  return Buffer.concat(pieces).toString().replaceAll('\r', '');
}

export interface HostFacts {
  readonly descriptors: number;
  readonly mounts: string;
}

/** What a start must not change on the host. */
export function hostFacts(): HostFacts {
  return {
    descriptors: fs.readdirSync('/proc/self/fd').length,
    mounts: fs
      .readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(PREFIX))
      .join('\n'),
  };
}

/** What `promise` fails with; that it fails is the test. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    const value = await promise;
    if (typeof value === 'object' && value !== null && 'error' in value && value.error !== undefined)
      return value.error;
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

export async function messageOf(promise: Promise<unknown>): Promise<string> {
  const error = await failureOf(promise);
  return error instanceof Error ? error.message : '';
}
