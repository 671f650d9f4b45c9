/**
 * The native exec driver: libcontainer prepares a program of system calls, the monitor has its zygote clone the child,
 * and this file leads the child through its gates. One connection to the monitor, made on demand; when the monitor dies,
 * what ran under it is killed by its cgroups and ends with 137 `monitor died`.
 */
import { conflict, notFound } from '#errdefs/errors.ts';
import { type CgroupLayout, containerPath } from '#libcontainer/cgroups/layout.ts';
import type { Cgroup } from '#libcontainer/cgroups/cgroup.ts';
import { createCgroup, hasWritableCgroups, openCgroup } from '#libcontainer/cgroups/cgroups.ts';
import { type PreparedExec, prepareExec } from '#libcontainer/exec.ts';
import type { SpareMounts } from '#libcontainer/mounts/spare-mounts.ts';
import type { Hooks, State } from '#libcontainer/spec.ts';
import { type PreparedStart, prepareStart, START_DEADLINE_MS } from '#libcontainer/start.ts';
import { log } from '#pkg/log/log.ts';
import { ownedFd } from '#sys/files.ts';
import { SIG } from '#sys/numbers.ts';
import { kill, processStat } from '#sys/processes.ts';
import type {
  ExecDriver,
  ExecRequest,
  LaunchRequest,
  ProbeRequest,
  RunningProbe,
  RunningProcess,
  SocketsRequest,
} from '../driver.ts';
import { type Gated, launchThroughGates } from './launch.ts';
import type { MonitorClient } from './monitor/client.ts';
import type { ExitRecord, ListedProcess } from './monitor/protocol.ts';
import { NativeProcess } from './native-process.ts';
import { hasHooks, NativeHooks } from './hooks.ts';
import { MonitorLink } from './monitor-link.ts';
import { lendSockets } from './lent-sockets.ts';
import { Probes } from './probes.ts';
import { exitOf, lostExit, takeStdio } from './process-end.ts';
import { networkGate } from './network-gate.ts';
import { type ProcessFacts, ProcessFiles } from './process-files.ts';
import { SliceScopes } from './slice-scopes.ts';
import { StdioPipes } from './stdio-pipes.ts';

export interface NativeDriverOptions {
  /** Absolute, 0700, exists. */
  readonly execRoot: string;
  /** How to run berth-monitor: program and first arguments. */
  readonly monitorCommand: readonly string[];
  readonly cgroups: CgroupLayout;
  /** Closed with the driver. */
  readonly spares?: SpareMounts;
}

export class NativeDriver implements ExecDriver {
  readonly name = 'native';
  readonly #options: NativeDriverOptions;
  readonly #files: ProcessFiles;
  readonly #processes = new Map<string, NativeProcess>();
  readonly #link: MonitorLink;
  readonly #probes = new Probes();
  readonly #hooks: NativeHooks;
  readonly #scopes: SliceScopes;

  constructor(options: NativeDriverOptions) {
    this.#options = options;
    this.#files = new ProcessFiles(options.execRoot);
    this.#hooks = new NativeHooks(options.execRoot);
    this.#scopes = new SliceScopes(options.cgroups);
    const place = { execRoot: options.execRoot, command: options.monitorCommand };
    this.#link = new MonitorLink(place, options.cgroups, {
      onExit: (exit, reports) => this.#exited(exit, reports),
      onDied: (monitor) => this.#monitorDied(monitor),
    });
  }

  async start(request: LaunchRequest): Promise<RunningProcess> {
    using rootfs = ownedFd(request.rootfs);
    request.signal.throwIfAborted();
    const { id, spec } = request;
    const client = await this.#link.connected();
    const path = spec.linux?.cgroupsPath ?? containerPath(this.#options.cgroups, id);
    const process = await this.#inScope(client, id, path, () =>
      this.#newProcess(id, () =>
        createCgroup({
          host: this.#options.cgroups.host,
          path,
          resources: spec.linux?.resources ?? {},
          named: hasWritableCgroups(spec),
        }),
      ),
    );
    try {
      using pipes = new StdioPipes(request.stdio);
      const hooks = hasHooks(spec) ? this.#hooks.prepare(id, spec) : undefined;
      using prepared = prepareStart({
        id,
        spec,
        ...(hooks === undefined ? {} : { hooks: true, attachAt: hooks.rootfs }),
        rootfs: request.rootfs,
        network: request.network !== undefined,
        ...(this.#options.spares === undefined ? {} : { spares: this.#options.spares }),
        ...(process.cgroup === undefined ? {} : { cgroup: process.cgroup }),
        ...(pipes.child === undefined ? {} : { stdio: pipes.child }),
        ...consoleSizeOf(request.stdio.consoleSize),
      });
      for (const warning of prepared.warnings) log.warn('container start', { container: id, warning });
      // Closed before the program runs: else the last reference would be ours and its unmounting would hold us up.
      const attached = () => {
        rootfs[Symbol.dispose]();
        prepared.attached();
      };
      await this.#launch(client, { process, pipes, prepared, cgroup: path, request, attached });
      // It runs: what fails now ends nothing.
      if (hooks !== undefined) {
        const running = { id, spec, pid: process.pid, status: 'running' } as const;
        await this.#hooks.run(client, ['poststart'], running).catch((err: unknown) => {
          log.warn('a hook failed', { container: id, kind: 'poststart', err });
        });
      }
      return process;
    } catch (error) {
      await this.#undo(process);
      throw error;
    }
  }

  async exec(request: ExecRequest): Promise<RunningProcess> {
    request.signal.throwIfAborted();
    const { id, containerId } = request;
    const client = await this.#link.connected();
    const container = this.#processes.get(containerId);
    if (container === undefined || container.ended) throw conflict(`container ${containerId} is not running`);
    const process = this.#newProcess(id, () => undefined);
    try {
      using pipes = new StdioPipes(request.stdio);
      using prepared = prepareExec({
        containerId,
        spec: request.spec,
        container: { pid: container.pid, pidfd: container.pidfd },
        ...(container.cgroup === undefined ? {} : { cgroup: container.cgroup.join(container.pid) }),
        ...(pipes.child === undefined ? {} : { stdio: pipes.child }),
        ...consoleSizeOf(request.stdio.consoleSize),
      });
      await this.#launch(client, { process, pipes, prepared, cgroup: undefined, request, attached: () => {} });
      return process;
    } catch (error) {
      await this.#undo(process);
      throw error;
    }
  }

  async probe(request: ProbeRequest): Promise<RunningProbe> {
    const client = await this.#link.connected();
    const container = this.#processes.get(request.container.id);
    if (container === undefined || container.ended) throw conflict(`container ${request.container.id} is not running`);
    return this.#probes.start(client, container, request);
  }

  async sockets(request: SocketsRequest): Promise<number[]> {
    const client = await this.#link.connected();
    const container = this.#processes.get(request.container.id);
    if (container === undefined || container.ended) throw conflict(`container ${request.container.id} is not running`);
    return lendSockets(client, { ...request, pidfd: container.pidfd });
  }

  forgetProbe(containerId: string): void {
    this.#probes.forget(containerId);
  }

  /** A group in a slice of systemd needs its scope first. */
  async #inScope(client: MonitorClient, id: string, group: string, make: () => NativeProcess): Promise<NativeProcess> {
    try {
      await this.#scopes.enter(client, id, group);
      return make();
    } catch (error) {
      // Not when it runs already: then the scope is that one's.
      if (this.#processes.get(id)?.ended !== false) this.#leaveScope(id);
      throw error;
    }
  }

  #leaveScope(id: string): void {
    this.#scopes.leave(id, (what) => this.#link.tell(what));
  }

  #newProcess(id: string, cgroup: () => Cgroup | undefined): NativeProcess {
    const known = this.#processes.get(id);
    if (known !== undefined && !known.ended) throw conflict(`process ${id} is running`);
    const closeStdin = () => this.#link.tell((client) => client.drop(id, 'stdin'));
    const process = new NativeProcess({ id, cgroup: cgroup(), closeStdin });
    this.#processes.set(id, process);
    return process;
  }

  async #launch(
    client: MonitorClient,
    start: {
      readonly process: NativeProcess;
      readonly pipes: StdioPipes;
      readonly prepared: PreparedStart | PreparedExec;
      readonly cgroup: string | undefined;
      readonly request: LaunchRequest | ExecRequest;
      /** The child stands at its last gate: every mount is where it belongs. */
      readonly attached: () => void;
    },
  ): Promise<void> {
    const { process, pipes, prepared, cgroup, request, attached } = start;
    const master = prepared.takeMaster();
    if (master !== undefined) pipes.setMaster(master);
    const gates: Gated[] = [];
    if ('writeMaps' in prepared && prepared.gates.maps !== undefined) {
      gates.push({ gate: prepared.gates.maps, work: async () => prepared.writeMaps(process.pid) });
    }
    if ('network' in request && request.network !== undefined && 'netlinkSocket' in prepared) {
      const { network } = prepared.gates;
      const configure = request.network;
      const socket = prepared.netlinkSocket;
      if (network !== undefined && socket !== undefined) {
        gates.push({ gate: network, work: () => networkGate(process, socket, configure) });
      }
    }
    const { spec } = request;
    const runHooks = (status: State['status'], ...kinds: (keyof Hooks)[]): Promise<void> =>
      this.#hooks.run(client, kinds, { id: process.id, spec, pid: process.pid, status });
    const hooked = 'hooks' in prepared.gates ? prepared.gates.hooks : undefined;
    if (hooked !== undefined) {
      gates.push({ gate: hooked, work: () => runHooks('creating', 'prestart', 'createRuntime', 'createContainer') });
    }
    gates.push({
      gate: prepared.gates.exec,
      work: async () => {
        process.startedAt = new Date();
        const { id, pid, startTicks, startedAt } = process;
        const facts = { id, pid, startTicks, startedAt, tty: request.stdio.tty };
        this.#files.write(cgroup === undefined ? facts : { ...facts, cgroup });
        attached();
        prepared.setLimits(pid);
        if (hooked !== undefined) await runHooks('created', 'startContainer');
        if ('beforeExec' in request) await request.beforeExec({ pid, startTicks });
      },
    });
    await launchThroughGates(client, {
      process,
      pipes,
      program: prepared.program,
      cloneFlags: prepared.cloneFlags,
      second: prepared.secondClone,
      gates,
      explain: (outcome) => prepared.explain(outcome),
      signal: request.signal,
      meanwhile: 'meanwhile' in request ? request.meanwhile : undefined,
      limitMs: START_DEADLINE_MS,
    });
    process.stdio = pipes.take();
  }

  /** A start that failed leaves nothing. */
  async #undo(process: NativeProcess): Promise<void> {
    process.kill();
    try {
      await process.cgroup?.remove();
    } catch (error) {
      log.error('the cgroup of a failed start stays', { process: process.id, err: error });
    }
    this.#leaveScope(process.id);
    await this.#files.remove(process.id);
    await this.#hooks.release(() => this.#link.connected(), process.id);
    const forget = () => {
      if (this.#processes.get(process.id) === process) this.#processes.delete(process.id);
      this.#link.tell((client) => client.forget(process.id));
    };
    if (process.pid === 0 || process.ended) forget();
    // The monitor still has to reap it; its exit must find it known.
    else void process.exited.then(forget);
  }

  async restore(): Promise<RunningProcess[]> {
    const facts = new Map(this.#files.all().map((f) => [f.id, f]));
    if (facts.size === 0 && !this.#link.mayRun) return [];
    const client = await this.#link.connected();
    const restored: NativeProcess[] = [];
    for (const listed of client.processes) {
      if (this.#scopes.found(listed, (what) => this.#link.tell(what))) continue;
      const known = facts.get(listed.id);
      facts.delete(listed.id);
      if (known === undefined) this.#dismiss(client, listed);
      else restored.push(this.#restoreOne(client, known, listed));
    }
    // Nobody is their parent any more.
    for (const known of facts.values()) restored.push(await this.#restoreLost(known));
    for (const { id, cgroup } of restored) this.#scopes.restored(id, cgroup?.path);
    this.#scopes.settle((what) => this.#link.tell(what));
    return restored;
  }

  /** A start that had not got through its last gate: it ends by itself. */
  #dismiss(client: MonitorClient, listed: ListedProcess): void {
    // It may have ended since it told us, for want of work.
    if (listed.exit !== undefined) return this.#link.tell((there) => there.forget(listed.id));
    const process = new NativeProcess({ id: listed.id, cgroup: undefined, closeStdin: () => undefined });
    this.#processes.set(listed.id, process);
    if (process.identify(listed.pid, client.pid)) process.kill();
    void process.exited.then(() => this.release(listed.id));
  }

  #restoreOne(client: MonitorClient, facts: ProcessFacts, listed: ListedProcess): NativeProcess {
    const { id } = facts;
    const process = new NativeProcess({
      id,
      cgroup: facts.cgroup === undefined ? undefined : openCgroup(this.#options.cgroups.host, facts.cgroup),
      closeStdin: () => client.drop(id, 'stdin'),
    });
    this.#processes.set(id, process);
    if (listed.exit === undefined) process.identify(listed.pid, client.pid);
    process.restoreFacts(facts, takeStdio(client, listed, facts.tty));
    if (listed.exit !== undefined) process.end(exitOf(listed.exit, process.cgroup));
    return process;
  }

  async #restoreLost(facts: ProcessFacts): Promise<NativeProcess> {
    const { cgroup } = facts;
    const process = new NativeProcess({
      id: facts.id,
      cgroup: cgroup === undefined ? undefined : openCgroup(this.#options.cgroups.host, cgroup),
      closeStdin: () => undefined,
    });
    process.restoreFacts(facts, { tty: facts.tty });
    this.#processes.set(facts.id, process);
    if (cgroup === undefined && processStat(facts.pid)?.startTicks === facts.startTicks) kill(facts.pid, SIG.KILL);
    await this.#endLost(process);
    return process;
  }

  async release(id: string): Promise<void> {
    const process = this.#processes.get(id);
    if (process !== undefined && !process.ended) throw conflict(`process ${id} is running`);
    await process?.cgroup?.remove();
    this.#leaveScope(id);
    this.#probes.forget(id);
    await this.#hooks.release(() => this.#link.connected(), id);
    this.#link.tell((client) => client.forget(id));
    await this.#files.remove(id);
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

  close(): Promise<void> {
    this.#options.spares?.[Symbol.dispose]();
    return this.#link.close();
  }

  #exited(exit: ExitRecord, reports?: Uint8Array): void {
    if (this.#probes.exited(exit, reports) || this.#scopes.exited(exit, (what) => this.#link.tell(what))) return;
    const process = this.#processes.get(exit.id);
    if (process === undefined && this.#hooks.exited(exit)) return;
    if (process === undefined) return log.debug('an exit of a process that nobody knows', { process: exit.id });
    process.end(exitOf(exit, process.cgroup));
  }

  async #monitorDied(monitor: number): Promise<void> {
    const lost = [...this.#processes.values()].filter((process) => !process.ended);
    log.error('the monitor died', { monitor, processes: lost.length });
    this.#probes.monitorDied();
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
    process.end(lostExit());
  }
}

function consoleSizeOf(size: readonly [height: number, width: number] | undefined): {
  consoleSize?: { height: number; width: number };
} {
  return size === undefined ? {} : { consoleSize: { height: size[0], width: size[1] } };
}
