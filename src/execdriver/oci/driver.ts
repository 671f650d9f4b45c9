/**
 * Runs containers through another OCI runtime (`--runtime runc|crun`). The runtime is launched by a monitor of this
 * driver's own (the native driver's would take its containers for strangers after a restart), so the container that it
 * leaves becomes the monitor's child: exit status, restart of the daemon and stdio are as with the native driver.
 *
 * Differences: the root filesystem is mounted at a path (in the bundle) while the container exists, and the terminal of a
 * container is lost when the daemon restarts, since the runtime hands it out after the monitor was told what to hold.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cancelled, conflict, deadlineExceeded, messageOf, notFound, systemError } from '#errdefs/errors.ts';
import type { Cgroup } from '#libcontainer/cgroups/cgroup.ts';
import { openCgroup } from '#libcontainer/cgroups/cgroups.ts';
import { type CgroupLayout, containerPath, prepareLayout } from '#libcontainer/cgroups/layout.ts';
import { errnoText } from '#libcontainer/explain.ts';
import { resizeTerminal } from '#libcontainer/terminal.ts';
import { START_DEADLINE_MS } from '#libcontainer/start.ts';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import { log } from '#pkg/log/log.ts';
import { close, open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { killByPidfd, pidfdGetfd, pidfdOpen } from '#sys/processes.ts';
import { accept, recvmsg, unixListen } from '#sys/sockets.ts';
import { whenReadable } from '#sys/watch.ts';
import type {
  ExecDriver,
  ExecRequest,
  LaunchRequest,
  ProcessExit,
  ProbeRequest,
  RunningProbe,
  RunningProcess,
  SocketsRequest,
  StdioRequest,
} from '../driver.ts';
import { lendSockets } from '../native/lent-sockets.ts';
import type { MonitorClient } from '../native/monitor/client.ts';
import type { ExitRecord } from '../native/monitor/protocol.ts';
import { NativeProcess } from '../native/native-process.ts';
import { ProcessFiles } from '../native/process-files.ts';
import { SliceScopes } from '../native/slice-scopes.ts';
import { connectOrStart, monitorListens } from '../native/start-monitor.ts';
import { StdioPipes } from '../native/stdio-pipes.ts';
import { Bundle, plainProcess } from './bundle.ts';
import { networkProgram, runtimeProgram, type Streams } from './commands.ts';
import { probeByExec } from './probe.ts';
import { runtimeFailure } from './runtime-error.ts';

const SIGKILL = 9;

export interface OciDriverOptions {
  /** As `--runtime` names it. */
  readonly name: string;
  /** Absolute path of the runtime's binary. */
  readonly runtime: string;
  readonly runtimeArgs?: readonly string[];
  /** Absolute, 0700, exists, of this driver alone. */
  readonly execRoot: string;
  readonly monitorCommand: readonly string[];
  readonly cgroups: CgroupLayout;
}

interface Launched {
  readonly process: NativeProcess;
  readonly master: number | undefined;
}

export class OciDriver implements ExecDriver {
  readonly name: string;
  #options: OciDriverOptions;
  readonly #files: ProcessFiles;
  readonly #processes = new Map<string, NativeProcess>();
  /** Ends of commands that are no process of a container. */
  readonly #commands = new Map<string, (exit: ExitRecord) => void>();
  readonly #scopes: SliceScopes;
  #client: Promise<MonitorClient> | undefined;
  #closed = false;
  #count = 0;

  constructor(options: OciDriverOptions) {
    this.name = options.name;
    this.#options = options;
    mkdirSync(this.#bundles, { recursive: true, mode: 0o700 });
    this.#files = new ProcessFiles(options.execRoot);
    this.#scopes = new SliceScopes(options.cgroups);
  }

  /** The runtime of later calls; containers that run stay as they are. */
  reconfigure(runtime: string, runtimeArgs: readonly string[]): void {
    this.#options = { ...this.#options, runtime, runtimeArgs };
  }

  get #bundles(): string {
    return `${this.#options.execRoot}/bundles`;
  }

  #bundle(id: string): Bundle {
    return new Bundle(this.#bundles, id);
  }

  #arguments(bundle: Bundle, ...args: readonly string[]): string[] {
    const root = `${this.#options.execRoot}/state`;
    const log = ['--log', bundle.log, '--log-format', 'json'];
    return ['--root', root, ...log, ...(this.#options.runtimeArgs ?? []), ...args];
  }

  async start(request: LaunchRequest): Promise<RunningProcess> {
    using rootfs = ownedFd(request.rootfs);
    request.signal.throwIfAborted();
    const { id, spec } = request;
    const client = await this.#connected();
    const path = spec.linux?.cgroupsPath ?? containerPath(this.#options.cgroups, id);
    const bundle = this.#bundle(id);
    const process = this.#newProcess(id, openCgroup(this.#options.cgroups.host, path));
    try {
      await this.#scopes.enter(client, id, path);
      request.meanwhile?.();
      bundle.create({ ...spec, linux: { ...spec.linux, cgroupsPath: path } }, rootfs.fd);
      using pipes = new StdioPipes(request.stdio);
      const args = ['create', '--bundle', bundle.path, '--pid-file', bundle.pidFile];
      const { master } = await this.#launch(client, { bundle, process, pipes, args, id, request });
      if (master !== undefined) pipes.setMaster(master);
      if (master !== undefined && request.stdio.consoleSize !== undefined) {
        const [height, width] = request.stdio.consoleSize;
        resizeTerminal(master, { height, width });
      }
      await this.#configureNetwork(client, process, request.network, spec.linux?.namespaces ?? []);
      process.startedAt = new Date();
      const { pid, startTicks, startedAt } = process;
      this.#files.write({ id, pid, startTicks, startedAt, tty: request.stdio.tty, cgroup: path });
      await request.beforeExec({ pid, startTicks });
      await this.#command(client, bundle, 'start', ['start', id]);
      process.stdio = pipes.take();
      return process;
    } catch (error) {
      await this.#undo(process);
      throw error;
    }
  }

  async exec(request: ExecRequest): Promise<RunningProcess> {
    request.signal.throwIfAborted();
    const { id, containerId, spec } = request;
    const client = await this.#connected();
    const container = this.#processes.get(containerId);
    if (container === undefined || container.ended) throw conflict(`container ${containerId} is not running`);
    if (spec.process === undefined) throw systemError('process: is missing');
    const bundle = this.#bundle(id);
    const process = this.#newProcess(id, undefined);
    try {
      mkdirSync(bundle.path, { recursive: true, mode: 0o700 });
      using root = ownedFd(open(`/proc/${container.pid}/root`, O.PATH | O.DIRECTORY));
      const processFile = `${bundle.path}/process.json`;
      writeFileSync(processFile, JSON.stringify(plainProcess(spec.process, root.fd)), { mode: 0o600 });
      using pipes = new StdioPipes(request.stdio);
      const args = ['exec', '--process', processFile, '--pid-file', bundle.pidFile, '--detach'];
      const { master } = await this.#launch(client, { bundle, process, pipes, args, id: containerId, request });
      if (master !== undefined) pipes.setMaster(master);
      process.startedAt = new Date();
      const { pid, startTicks, startedAt } = process;
      this.#files.write({ id, pid, startTicks, startedAt, tty: request.stdio.tty });
      process.stdio = pipes.take();
      return process;
    } catch (error) {
      await this.#undo(process);
      throw error;
    }
  }

  async probe(request: ProbeRequest): Promise<RunningProbe> {
    return probeByExec(this, request);
  }

  async sockets(request: SocketsRequest): Promise<number[]> {
    const client = await this.#connected();
    const container = this.#processes.get(request.container.id);
    if (container === undefined || container.ended) throw conflict(`container ${request.container.id} is not running`);
    return lendSockets(client, { ...request, pidfd: container.pidfd });
  }

  /** Nothing is kept for a next one. */
  forgetProbe(): void {}

  #newProcess(id: string, cgroup: Cgroup | undefined): NativeProcess {
    const known = this.#processes.get(id);
    if (known !== undefined && !known.ended) throw conflict(`process ${id} is running`);
    const closeStdin = () => this.#tell((client) => client.drop(id, 'stdin'));
    const process = new NativeProcess({ id, cgroup, closeStdin });
    this.#processes.set(id, process);
    return process;
  }

  /** `create` or `exec`: when the runtime has ended well, the process in its pid file is the monitor's child. */
  async #launch(
    client: MonitorClient,
    wanted: {
      readonly bundle: Bundle;
      readonly process: NativeProcess;
      readonly pipes: StdioPipes;
      readonly args: readonly string[];
      readonly id: string;
      readonly request: { readonly stdio: StdioRequest; readonly signal: AbortSignal };
    },
  ): Promise<Launched> {
    const { bundle, process, pipes, request } = wanted;
    using nothing = ownedFd(open('/dev/null', O.RDWR));
    using directory = request.stdio.tty ? ownedFd(open(bundle.path, O.PATH | O.DIRECTORY | O.CLOEXEC)) : undefined;
    const consoleSocket = directory === undefined ? '' : bundle.consoleSocketBy(directory.fd);
    using listener = directory === undefined ? undefined : ownedFd(unixListen(consoleSocket));
    const streams: Streams = pipes.child ?? { stdin: nothing.fd, stdout: nothing.fd, stderr: nothing.fd };
    const socket = listener === undefined ? [] : ['--console-socket', consoleSocket];
    const [verb = '', ...options] = wanted.args;
    const args = this.#arguments(bundle, verb, ...options, ...socket, wanted.id);
    const program = runtimeProgram(this.#options.runtime, args, streams);
    const held = request.stdio.tty ? {} : pipes.held();
    const started = await client.start({ id: process.id, program, cloneFlags: 0, held, second: true });
    pipes.sent();
    await this.#untilEnded(started.pid, request.signal);
    const outcome = await started.outcome;
    if (outcome.failed !== undefined) {
      const { step, code } = outcome.failed;
      const what = step === 'execve' ? 'exec: ' : `${step}: `;
      throw systemError(`${what}"${this.#options.runtime}": ${errnoText(code)}`);
    }
    const pid = existsSync(bundle.pidFile) ? Number(readFileSync(bundle.pidFile, 'utf8')) : 0;
    if (!(pid > 0)) throw runtimeFailure(this.name, verb, bundle.log);
    // Until it is adopted the monitor reaps nothing, so a process that has ended already is still there to be held.
    if (!process.identify(pid, client.pid)) throw runtimeFailure(this.name, verb, bundle.log);
    client.adopt(process.id, pid);
    return { process, master: listener === undefined ? undefined : receiveTerminal(listener.fd) };
  }

  /** Waits for a child of the monitor; gives up by killing it. */
  async #untilEnded(pid: number, signal: AbortSignal): Promise<void> {
    let fd: number;
    try {
      fd = pidfdOpen(pid);
    } catch {
      return; // ended and reaped already
    }
    using pidfd = ownedFd(fd);
    const limit = AbortSignal.timeout(START_DEADLINE_MS);
    const both = AbortSignal.any([signal, limit]);
    const kill = () => killByPidfd(pidfd.fd);
    both.addEventListener('abort', kill, { once: true });
    try {
      await whenReadable(pidfd.fd);
    } finally {
      both.removeEventListener('abort', kill);
    }
    if (limit.aborted) throw deadlineExceeded(`${this.name} did not end within ${START_DEADLINE_MS} ms`);
    if (signal.aborted) throw cancelled('The start was cancelled');
  }

  /** A command that is no process of a container. Errors: StartError with the runtime's own words. */
  async #command(client: MonitorClient, bundle: Bundle, verb: string, args: readonly string[]): Promise<void> {
    using nothing = ownedFd(open('/dev/null', O.RDWR));
    const streams = { stdin: nothing.fd, stdout: nothing.fd, stderr: nothing.fd };
    const program = runtimeProgram(this.#options.runtime, this.#arguments(bundle, ...args), streams);
    this.#count += 1;
    const id = `${this.name}-${verb}-${this.#count}`;
    const ended = new Promise<ExitRecord>((resolve) => this.#commands.set(id, resolve));
    try {
      await client.start({ id, program, cloneFlags: 0, held: {}, second: false });
      const { code, signal } = await ended;
      if (code !== 0 || signal !== 0) throw runtimeFailure(this.name, verb, bundle.log);
    } finally {
      this.#commands.delete(id);
      client.forget(id);
    }
  }

  /** A child in the container's namespace lends its netlink socket while the network is configured. */
  async #configureNetwork(
    client: MonitorClient,
    process: NativeProcess,
    configure: ((gate: NetworkGate) => Promise<void>) | undefined,
    namespaces: readonly { readonly type: string; readonly path?: string }[],
  ): Promise<void> {
    const own = namespaces.some(({ type, path = '' }) => type === 'network' && path === '');
    if (configure === undefined || !own) return;
    using namespace = ownedFd(open(`/proc/${process.pid}/ns/net`, O.RDONLY));
    const { program, gate, socket } = networkProgram(namespace.fd);
    using _gate = gate;
    this.#count += 1;
    const id = `${this.name}-network-${this.#count}`;
    const arrived = Promise.withResolvers<boolean>();
    const onReport = (report: { readonly kind: string }) => arrived.resolve(report.kind === 'arrived');
    const started = await client.start({ id, program, cloneFlags: 0, held: {}, second: false, onReport });
    void started.outcome.then(() => arrived.resolve(false));
    try {
      if (!(await arrived.promise)) throw systemError(`Cannot enter the network namespace of "${process.id}"`);
      using pidfd = ownedFd(pidfdOpen(started.pid));
      using netlink = ownedFd(pidfdGetfd(pidfd.fd, socket));
      await configure({ pid: process.pid, netlink: netlink.fd, namespace: namespace.fd });
    } finally {
      gate[Symbol.dispose]();
      await started.outcome;
      client.forget(id);
    }
  }

  /** A start that failed leaves nothing. */
  async #undo(process: NativeProcess): Promise<void> {
    process.kill();
    try {
      if (process.pid !== 0) await Promise.race([process.exited, Bun.sleep(5000)]);
      await this.#clear(process);
    } catch (error) {
      log.error('what a failed start made stays', { process: process.id, err: error });
    }
    if (this.#processes.get(process.id) === process) this.#processes.delete(process.id);
  }

  /** Runtime's state, cgroups, bundle, exit record. */
  async #clear(process: NativeProcess): Promise<void> {
    const { id, cgroup } = process;
    const client = await this.#connected();
    const bundle = this.#bundle(id);
    const known = cgroup !== undefined && existsSync(`${this.#options.execRoot}/state/${id}`);
    if (known) {
      await this.#command(client, bundle, 'delete', ['delete', '--force', id]).catch((error: unknown) =>
        log.warn('the runtime cannot delete a container', { container: id, err: messageOf(error) }),
      );
    }
    await cgroup?.remove();
    this.#scopes.leave(id, (what) => this.#tell(what));
    bundle.remove();
    client.forget(id);
    await this.#files.remove(id);
  }

  async restore(): Promise<RunningProcess[]> {
    const facts = new Map(this.#files.all().map((f) => [f.id, f]));
    if (facts.size === 0 && !monitorListens(this.#options.execRoot)) return [];
    const client = await this.#connected();
    const restored: RunningProcess[] = [];
    const others = client.processes.filter((p) => !this.#scopes.found(p, (what) => this.#tell(what)));
    const listed = new Map(others.map((p) => [p.id, p]));
    for (const known of facts.values()) {
      const { host } = this.#options.cgroups;
      const process = this.#newProcess(
        known.id,
        known.cgroup === undefined ? undefined : openCgroup(host, known.cgroup),
      );
      const held = listed.get(known.id);
      listed.delete(known.id);
      const alive = held !== undefined && held.exit === undefined && process.identify(held.pid, client.pid);
      const taken = Object.entries(held?.held ?? {}).map(([name, fd]) => [name, client.take(known.id, name, fd)]);
      process.restoreFacts(known, { tty: known.tty, ...(Object.fromEntries(taken) as Record<string, number>) });
      if (held?.exit !== undefined) process.end(exitOf(held.exit, process.cgroup));
      else if (!alive) await this.#endLost(process);
      restored.push(process);
      this.#scopes.restored(known.id, known.cgroup);
    }
    this.#scopes.settle((what) => this.#tell(what));
    // Starts that had not got through: the runtime's commands end by themselves, a container of nobody is ended.
    for (const { id, exit } of listed.values()) {
      const stranger = this.#newProcess(id, undefined);
      if (exit === undefined && this.#bundle(id).exists()) stranger.kill();
      client.forget(id);
      this.#processes.delete(id);
    }
    return restored;
  }

  async release(id: string): Promise<void> {
    const process = this.#processes.get(id);
    if (process === undefined) return;
    if (!process.ended) throw conflict(`process ${id} is running`);
    await this.#clear(process);
    this.#processes.delete(id);
  }

  paused(id: string): boolean {
    return this.#processes.get(id)?.cgroup?.frozen() === true;
  }

  cgroupOf(id: string): Cgroup {
    const cgroup = this.#processes.get(id)?.cgroup;
    if (cgroup === undefined) throw notFound(`container ${id} is not running`);
    return cgroup;
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#client === undefined) return;
    (await this.#client).close();
    this.#client = undefined;
  }

  #connected(): Promise<MonitorClient> {
    this.#client ??= this.#connect().catch((error: unknown) => {
      this.#client = undefined;
      throw error;
    });
    return this.#client;
  }

  async #connect(): Promise<MonitorClient> {
    const client = await connectOrStart(
      { execRoot: this.#options.execRoot, command: this.#options.monitorCommand },
      { onExit: (exit) => this.#exited(exit), onClosed: () => void this.#monitorDied() },
    );
    await prepareLayout(this.#options.cgroups, client.pid);
    return client;
  }

  /** If it is there: nothing is started for that, and its death is told elsewhere. */
  #tell(what: (client: MonitorClient) => void): void {
    this.#client?.then(what).catch(() => undefined);
  }

  #exited(exit: ExitRecord): void {
    if (this.#scopes.exited(exit, (what) => this.#tell(what))) return;
    const command = this.#commands.get(exit.id);
    if (command !== undefined) return command(exit);
    const process = this.#processes.get(exit.id);
    process?.end(exitOf(exit, process.cgroup));
  }

  async #monitorDied(): Promise<void> {
    this.#client = undefined;
    if (this.#closed) return;
    const lost = [...this.#processes.values()].filter((process) => !process.ended);
    log.error('the monitor died', { runtime: this.name, processes: lost.length });
    this.#scopes.monitorDied();
    await Promise.all(lost.map((process) => this.#endLost(process)));
  }

  async #endLost(process: NativeProcess): Promise<void> {
    process.kill();
    try {
      await process.cgroup?.remove();
    } catch (error) {
      log.error('the processes of a dead monitor cannot be ended', { process: process.id, err: error });
    }
    const exitCode = 128 + SIGKILL;
    process.end({ exitCode, signal: SIGKILL, finishedAt: new Date(), error: 'monitor died', oomKilled: false });
  }
}

function exitOf(exit: ExitRecord, cgroup: Cgroup | undefined): ProcessExit {
  return {
    exitCode: exit.signal === 0 ? exit.code : 128 + exit.signal,
    signal: exit.signal,
    finishedAt: new Date(exit.time),
    oomKilled: exit.signal === SIGKILL && (cgroup?.oomKills() ?? 0) > 0,
  };
}

/** The runtime has ended, so the terminal was sent: nothing waits here. */
function receiveTerminal(listener: number): number {
  const fd = accept(listener);
  if (fd === undefined) throw systemError('The runtime did not send the terminal');
  try {
    const [master] = recvmsg(fd, 4096)?.descriptors ?? [];
    if (master === undefined) throw systemError('The runtime did not send the terminal');
    return master;
  } finally {
    close(fd);
  }
}
