/**
 * Health probes of the native driver. A probe comes every few seconds for as long as its container lives, so what is the
 * same each time is made once: the list of calls lies ready in a memfd, and one pipe takes the reports of all runs. A run
 * costs an output pipe, one message to the monitor, and two from it; nothing is recorded, no gate is passed. A monitor of
 * an older version leaves the reports and the adoption of the second clone to us.
 *
 * Ownership: a ProbeList owns its memfd, pipe, pidfd and prepared list until `forget`.
 */
import { unavailable } from '#errdefs/errors.ts';
import { type PreparedProbe, prepareProbe } from '#libcontainer/exec.ts';
import { log } from '#pkg/log/log.ts';
import { errnoNumber, SysError } from '#sys/errno.ts';
import { close, dup, fchown, ioctl, open, ownedFd, type Pipe, pipe2, read, setNonBlocking } from '#sys/files.ts';
import { IOCTL, O, SIG } from '#sys/numbers.ts';
import { kill, killByPidfd, pidfdOpen, processStat } from '#sys/processes.ts';
import { Program, type ProgramReport, type StepFailure } from '#sys/program.ts';
import { listMemfd } from '#sys/zygote/zygote.ts';
import type { ProbeEnd, ProbeRequest, RunningProbe } from '../driver.ts';
import type { MonitorClient, ReadyList } from './monitor/client.ts';
import type { ExitRecord } from './monitor/protocol.ts';
import type { NativeProcess } from './native-process.ts';

const ESTALE = errnoNumber('ESTALE');
const RECORD_BYTES = 16;
const waiting = new Uint8Array(4);
const waitingView = new DataView(waiting.buffer);
/** What the zygote's code exits with after it has told which step failed. */
const FAILED_CODE = 111;
const SIGNALLED = 128;
/** For the report of a failed step, or the rest of the output, to follow the exit. */
const FOLLOW_LIMIT_MS = 200;

export class Probes {
  readonly #lists = new Map<string, ProbeList>();
  readonly #running = new Map<string, ProbeRun>();

  async start(client: MonitorClient, container: NativeProcess, request: ProbeRequest): Promise<RunningProbe> {
    for (let attempt = 0; ; attempt++) {
      const list = this.#listFor(client, container, request);
      const run = new ProbeRun(client, request);
      this.#running.set(request.id, run);
      try {
        await run.start(list);
        // What did not start may have had a list that is out of date: a container that has given its group's controllers
        // to groups of its own takes nobody there any more. The next one is made anew.
        const outdated = () => this.#lists.get(container.id) === list && this.forget(container.id);
        void run.ended.catch(outdated).finally(() => this.#running.delete(request.id));
        return run;
      } catch (error) {
        this.#running.delete(request.id);
        // The zygote is another by now.
        if (!(error instanceof SysError && error.errno === ESTALE) || attempt === 3) throw error;
      }
    }
  }

  #listFor(client: MonitorClient, container: NativeProcess, request: ProbeRequest): ProbeList {
    const known = this.#lists.get(container.id);
    if (known?.pid === container.pid && known.ready.base === client.arena.base) return known;
    known?.[Symbol.dispose]();
    this.#lists.delete(container.id);
    const made = new ProbeList(client, container, request);
    this.#lists.set(container.id, made);
    return made;
  }

  /** Idempotent. */
  forget(containerId: string): void {
    this.#lists.get(containerId)?.[Symbol.dispose]();
    this.#lists.delete(containerId);
  }

  /** False: it was no probe. */
  exited(exit: ExitRecord, reports?: Uint8Array): boolean {
    const run = this.#running.get(exit.id);
    if (run === undefined) return false;
    run.exited(exit, reports);
    return true;
  }

  monitorDied(): void {
    for (const run of this.#running.values()) run.fail(unavailable('The monitor died'));
    for (const id of [...this.#lists.keys()]) this.forget(id);
  }
}

class ProbeList implements Disposable {
  readonly pid: number;
  readonly ready: ReadyList;
  readonly prepared: PreparedProbe;
  /** Told the reports of the run that is going on. */
  onReport: (report: ProgramReport) => void = () => undefined;
  readonly #descriptors: readonly number[];
  readonly #placeholder: number;
  readonly #client: MonitorClient;
  readonly #outcome: Pipe;
  readonly #firstStep: number;
  readonly #owned: Disposable[] = [];
  #disposed = false;

  constructor(client: MonitorClient, container: NativeProcess, request: ProbeRequest) {
    const own = (fd: number): number => {
      this.#owned.push(ownedFd(fd));
      return fd;
    };
    this.#client = client;
    try {
      this.pid = container.pid;
      const nothing = own(open('/dev/null', O.RDWR));
      this.#placeholder = own(dup(nothing));
      const pidfd = own(dup(container.pidfd));
      this.prepared = prepareProbe({
        containerId: container.id,
        spec: request.spec(),
        container: { pid: container.pid, pidfd },
        ...(container.cgroup === undefined ? {} : { cgroup: container.cgroup.join(container.pid) }),
        stdio: { stdin: nothing, stdout: this.#placeholder, stderr: this.#placeholder },
      });
      this.#owned.push(this.prepared);
      const { base, bytes } = client.arena;
      const list = this.prepared.program.serialize(base, bytes, 0);
      this.#descriptors = list.descriptors;
      this.#firstStep = Program.firstStepAddress(list, base);
      this.#outcome = pipe2();
      this.#owned.push(ownedFd(this.#outcome.write));
      if (client.passes) {
        this.#owned.push(ownedFd(this.#outcome.read));
        setNonBlocking(this.#outcome.read);
        // Else its reader sees the end when the other is closed, and closes its own.
      } else void this.#readReports();
      this.ready = {
        memfd: own(listMemfd(list.bytes)),
        lengthBytes: list.bytes.length,
        base,
        firstSourceAt: list.firstSourceAt,
        cgroup: list.cgroup,
        second: this.prepared.secondClone,
        ...(client.passes ? { reports: this.#outcome.read } : {}),
      };
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  /** For one run: `output` takes the place of the standard streams. */
  descriptors(output: number): number[] {
    const sources = this.#descriptors.map((fd) => (fd === this.#placeholder ? output : fd));
    return [this.#outcome.write, ...sources];
  }

  /** Each record is written at once, so `bytes` never end within one. */
  tell(bytes: Uint8Array): void {
    for (let at = 0; at + RECORD_BYTES <= bytes.length; at += RECORD_BYTES) {
      const record = new DataView(bytes.buffer, bytes.byteOffset + at, RECORD_BYTES);
      this.onReport(this.prepared.program.report(record, this.#firstStep));
    }
  }

  async #readReports(): Promise<void> {
    const fd = this.#outcome.read;
    try {
      for await (const chunk of Bun.file(fd).stream()) this.tell(chunk);
    } catch (error) {
      log.error('the reports of probes cannot be read', { err: error });
    }
    close(fd);
  }

  #release(): void {
    for (const owned of this.#owned.splice(0).reverse()) owned[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    // A start that waits for the end of this turn is of our descriptors.
    this.#client.flush();
    this.#release();
  }
}

class ProbeRun implements RunningProbe {
  readonly ended: Promise<ProbeEnd>;
  readonly #client: MonitorClient;
  readonly #request: ProbeRequest;
  readonly #end = Promise.withResolvers<ProbeEnd>();
  readonly #chunks: Uint8Array[] = [];
  readonly #notes: StepFailure[] = [];
  readonly #failureTold = Promise.withResolvers<void>();
  #failure: StepFailure | undefined;
  #list: ProbeList | undefined;
  #output = -1;
  #outputBytes = 0;
  #draining: Promise<void> | undefined;
  readonly #enough = Promise.withResolvers<undefined>();
  #pid = 0;
  /** Pid of the second clone; 'awaited' once the monitor knows the first. */
  #second: number | 'awaited' | undefined;
  #killed = false;
  #over = false;

  constructor(client: MonitorClient, request: ProbeRequest) {
    this.#client = client;
    this.#request = request;
    this.ended = this.#end.promise;
  }

  async start(list: ProbeList): Promise<void> {
    this.#list = list;
    list.onReport = (report) => this.#report(report);
    const pipe = pipe2();
    try {
      // Both ends are one inode; else `echo > /dev/stdout` fails for anybody but root.
      if (list.prepared.uid !== 0) fchown(pipe.read, list.prepared.uid, -1);
      this.#output = pipe.read;
      const pid = await this.#client.startReady(this.#request.id, list.ready, list.descriptors(pipe.write));
      if (!list.ready.second || list.ready.reports !== undefined) this.#isBorn(pid);
      else if (this.#second === undefined) this.#second = 'awaited';
      else if (this.#second !== 'awaited') this.#adopt(this.#second);
    } catch (error) {
      this.#over = true;
      close(pipe.read);
      throw error;
    } finally {
      close(pipe.write);
    }
  }

  #report(report: ProgramReport): void {
    if (this.#over) return;
    if (report.kind === 'second') {
      // Its pid may be here before the monitor has heard of the first: until then there is nothing to adopt it to.
      if (this.#second === 'awaited') this.#adopt(report.pid);
      else this.#second = report.pid;
    } else if (report.kind === 'note') this.#notes.push(report.failure);
    else if (report.kind === 'failed') {
      this.#failure = report.failure;
      this.#failureTold.resolve();
    }
  }

  #adopt(pid: number): void {
    this.#client.adopt(this.#request.id, pid);
    this.#isBorn(pid);
  }

  #isBorn(pid: number): void {
    this.#pid = pid;
    if (this.#killed) this.kill();
  }

  kill(): void {
    this.#killed = true;
    if (this.#pid === 0 || this.#over) return;
    try {
      using pidfd = ownedFd(pidfdOpen(this.#pid));
      // Opened late, the pid could be another's: only the monitor's child is ours, and it leads its group.
      if (processStat(this.#pid)?.ppid !== this.#client.pid) return;
      kill(-this.#pid, SIG.KILL);
      killByPidfd(pidfd.fd);
    } catch (error) {
      log.debug('a probe had ended', { probe: this.#request.id, err: error });
    }
  }

  drain(): void {
    if (!this.#over) this.#draining ??= this.#drain();
  }

  async #drain(): Promise<void> {
    const fd = this.#output;
    this.#output = -1;
    const reader = Bun.file(fd).stream().getReader();
    try {
      for (;;) {
        const next = await Promise.race([reader.read(), this.#enough.promise]);
        if (next?.value === undefined) break;
        this.#keep(next.value);
      }
      await reader.cancel();
    } catch (error) {
      log.debug('the output of a probe cannot be read', { probe: this.#request.id, err: error });
    }
    close(fd);
  }

  #keep(bytes: Uint8Array): void {
    const room = this.#request.outputBytesMax - this.#outputBytes;
    if (room > 0) this.#chunks.push(bytes.slice(0, room));
    this.#outputBytes += bytes.length;
  }

  exited(exit: ExitRecord, reports: Uint8Array | undefined): void {
    if (this.#over) return;
    if (reports !== undefined) this.#list?.tell(reports);
    void this.#finish(exit);
  }

  async #finish(exit: ExitRecord): Promise<void> {
    // Not waiting for the end of the stream: something that it left in the background may hold it.
    if (this.#draining !== undefined) {
      await within(this.#draining);
      this.#enough.resolve(undefined);
    }
    if (exit.code === FAILED_CODE && this.#failure === undefined) await within(this.#failureTold.promise);
    this.#over = true;
    if (this.#list?.ready.reports === undefined) this.#client.forget(this.#request.id);
    this.#readRest();
    const failed = this.#failure;
    if (failed !== undefined) {
      const why = this.#list?.prepared.explain({ failed, notes: this.#notes });
      return this.#end.reject(why ?? unavailable('The probe could not be started'));
    }
    const exitCode = exit.signal === 0 ? exit.code : SIGNALLED + exit.signal;
    const kept = this.#chunks.length === 1 ? this.#chunks[0] : Buffer.concat(this.#chunks);
    const output = kept ?? new Uint8Array();
    this.#end.resolve({ exitCode, output, more: this.#outputBytes > output.length });
  }

  #readRest(): void {
    const fd = this.#output;
    if (fd < 0) return;
    this.#output = -1;
    try {
      // Whatever holds the other end may write later: only what is there now is read.
      ioctl(fd, IOCTL.FIONREAD, waiting);
      const length = Math.min(waitingView.getInt32(0, true), this.#request.outputBytesMax + 1);
      if (length === 0) return;
      const buffer = new Uint8Array(length);
      this.#keep(buffer.subarray(0, read(fd, buffer)));
    } finally {
      close(fd);
    }
  }

  fail(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#enough.resolve(undefined);
    if (this.#output >= 0) close(this.#output);
    this.#output = -1;
    this.#end.reject(error);
  }
}

/** `promise`, or the limit. */
async function within(promise: Promise<void>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, FOLLOW_LIMIT_MS);
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
