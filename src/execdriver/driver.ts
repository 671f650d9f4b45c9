/**
 * An exec driver runs the processes of containers. `native` does it over libcontainer and berth-monitor; `oci` through
 * another OCI runtime (`--runtime`).
 *
 * Vocabulary: a *process* is a container's first process or one exec'd into it; its *id* is the container's id or the
 * exec's. The driver owns cgroups, namespaces and descriptors of a process until its exit is reported and `release` was
 * called. After a restart of the daemon, `restore` gives back every process that the monitor still knows.
 *
 * Failure: a start that fails leaves nothing (no process, cgroup, mount or descriptor); the error is a BerthError whose
 * message is what Docker clients match (reference/compat-notes.md 15) and whose `exitCode` is 125, 126 or 127.
 */
import type { Cgroup } from '#libcontainer/cgroups/cgroup.ts';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import type { Spec } from '#libcontainer/spec.ts';

/** Why a first process or an exec could not be started. */
export interface StartFailure {
  /** 126 not executable, 127 not found, 125 anything else. */
  readonly exitCode: 125 | 126 | 127;
}

/** How a process ended. `exitCode` is 128+signal when a signal ended it. */
export interface ProcessExit {
  readonly exitCode: number;
  readonly signal: number;
  readonly finishedAt: Date;
  /** Set when the code is not the process's own: 'monitor died', 'unknown after reboot'. */
  readonly error?: string;
  readonly oomKilled: boolean;
}

/** Descriptors of the daemon's side. They are the daemon's: close each. */
export interface ProcessStdio {
  /** Write end of stdin; with a tty the master (the same number as `output`). */
  readonly stdin?: number;
  /** Read end of stdout, or the tty's master. */
  readonly stdout?: number;
  readonly stderr?: number;
  readonly tty: boolean;
}

export interface RunningProcess {
  readonly id: string;
  readonly pid: number;
  /** Start time of `pid` in clock ticks since boot: with the pid it names a process for good. */
  readonly startTicks: bigint;
  readonly startedAt: Date;
  readonly stdio: ProcessStdio;
  /** Settles once; also after a restart of the daemon. */
  readonly exited: Promise<ProcessExit>;
  /** Errors: not-found when it has ended. */
  signal(signal: number): Promise<void>;
  resize(height: number, width: number): void;
  /** Ends the input that the monitor holds too: the process sees the end of its stdin. */
  closeStdin(): Promise<void>;
}

export interface StdioRequest {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
  readonly consoleSize?: readonly [height: number, width: number];
}

export interface LaunchRequest {
  readonly id: string;
  readonly spec: Spec;
  /** Detached mount of the root filesystem (graphdriver): the driver closes it when the outcome is known. */
  readonly rootfs: number;
  readonly stdio: StdioRequest;
  /** Called when a new network namespace exists, before any of the container's program runs. */
  readonly network?: (gate: NetworkGate) => Promise<void>;
  /**
   * What only has to be done before the container can see it: called once, when the driver waits for its new child
   * anyway, before anything of the container runs. If it throws, the start fails.
   */
  readonly meanwhile?: () => void;
  /**
   * Called directly before execve: record that the container runs. If it rejects, or the daemon dies, the child ends.
   */
  readonly beforeExec: (process: { pid: number; startTicks: bigint }) => Promise<void>;
  readonly signal: AbortSignal;
}

export interface ExecRequest {
  readonly id: string;
  readonly containerId: string;
  readonly container: RunningProcess;
  /** `process` of the spec is the exec's; the rest is the container's. */
  readonly spec: Spec;
  readonly stdio: StdioRequest;
  readonly signal: AbortSignal;
}

/** A health probe: a process in a container without input, whose end matters more than its output. */
export interface ProbeRequest {
  /** Of this one run. */
  readonly id: string;
  readonly container: RunningProcess;
  /** As of an exec. Asked for at the first probe of a container, and again after `forgetProbe`. */
  readonly spec: () => Spec;
  /** Of the output that is kept. */
  readonly outputBytesMax: number;
}

export interface ProbeEnd {
  readonly exitCode: number;
  /** At most `outputBytesMax`, stdout and stderr as they came. */
  readonly output: Uint8Array;
  /** There was more. */
  readonly more: boolean;
}

export interface RunningProbe {
  /** Rejects when the program could not be executed, as `exec` does, or when the monitor died. */
  readonly ended: Promise<ProbeEnd>;
  /** It takes long: its output is read from now on, so that a full pipe does not hold it up. */
  drain(): void;
  /** Ends it and its process group. */
  kill(): void;
}

export interface SocketsRequest {
  /** Of this one request. */
  readonly id: string;
  readonly container: RunningProcess;
  readonly family: number;
  readonly type: number;
  readonly count: number;
}

export interface ExecDriver {
  readonly name: string;
  start(request: LaunchRequest): Promise<RunningProcess>;
  exec(request: ExecRequest): Promise<RunningProcess>;
  /**
   * Starts a probe; one at a time in a container. Nothing of it is kept over a restart of the daemon: `restore` ends
   * those it finds. Errors: as `exec`.
   */
  probe(request: ProbeRequest): Promise<RunningProbe>;
  /** Sockets made in the network namespace of a container; the caller's, and to be closed before it can end. */
  sockets(request: SocketsRequest): Promise<number[]>;
  /** What was prepared for the probes of a container is no longer right: they are asked to do something else. */
  forgetProbe(containerId: string): void;
  /** Every process the monitor knows or has an unread exit record of. `exited` of an ended one is settled. */
  restore(): Promise<RunningProcess[]>;
  /** Forgets an ended process: its exit record, cgroups and descriptors. Idempotent. */
  release(id: string): Promise<void>;
  /** As the kernel has it. */
  paused(id: string): boolean;
  /** Of a container's processes: its limits, its use, its end for want of memory. Errors: not-found when none runs. */
  cgroupOf(id: string): Cgroup;
  /** Lets go of the monitor; containers go on. */
  close(): Promise<void>;
}
