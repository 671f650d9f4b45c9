/**
 * Processes by pid and pidfd. A pid alone may be used again; together with its start time (`startTicks`) it names a
 * process for good, and a pidfd does so by itself.
 */
import { call, must } from './call.ts';
import { readText } from './host-files.ts';
import { errnoNumber } from './errno.ts';
import { NR, SIG, W } from './numbers.ts';

export function pidfdOpen(pid: number): number {
  return must('pidfd_open', NR.pidfd_open, pid, 0);
}

/** Errors: ESRCH when it has ended. */
export function pidfdSendSignal(pidfd: number, signal: number): void {
  must('pidfd_send_signal', NR.pidfd_send_signal, pidfd, signal, 0, 0);
}

/** A duplicate (CLOEXEC) of descriptor `fd` of another process. */
export function pidfdGetfd(pidfd: number, fd: number): number {
  return must('pidfd_getfd', NR.pidfd_getfd, pidfd, fd, 0);
}

/** Errors: ESRCH. Never for a pid that may have been used again. */
export function kill(pid: number, signal: number): void {
  must('kill', NR.kill, pid, signal);
}

/** Sets a resource limit of another process. */
export function prlimit(pid: number, resource: number, soft: bigint, hard: bigint): void {
  must('prlimit64', NR.prlimit64, pid, resource, new Uint8Array(BigUint64Array.of(soft, hard).buffer), 0);
}

export function prctl(option: number, ...args: readonly (number | bigint | string | Uint8Array)[]): number {
  return must('prctl', NR.prctl, option, ...args);
}

/** include/linux/sched.h */
const PF_EXITING = 0x4;

export interface ProcessStat {
  readonly state: string;
  readonly ppid: number;
  readonly startTicks: bigint;
  /** It has begun to end; the first process of a pid namespace first waits for all others (zap_pid_ns_processes). */
  readonly exiting: boolean;
}

/** Fields of /proc/PID/stat after the name; undefined when there is no such process. */
export function processStat(pid: number): ProcessStat | undefined {
  let text: string;
  try {
    text = readText(`/proc/${pid}/stat`);
  } catch {
    return undefined;
  }
  // The name may hold anything, so fields count from the last ')': state is field 3, ppid 4, flags 9, starttime 22 (proc(5)).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const exiting = (Number(fields[6]) & PF_EXITING) !== 0;
  return { state: fields[0] ?? '', ppid: Number(fields[1]), startTicks: BigInt(fields[19] ?? 0), exiting };
}

/** Start time in clock ticks since boot; undefined when there is no such process. */
export function startTicks(pid: number): bigint | undefined {
  return processStat(pid)?.startTicks;
}

export interface Ended {
  readonly pid: number;
  /** Exit status; 0 when a signal ended it. */
  readonly code: number;
  /** Signal that ended it, else 0. */
  readonly signal: number;
}

const siginfo = new Uint8Array(128);
const siginfoView = new DataView(siginfo.buffer);
const CLD_EXITED = 1;
const NO_CHILD = -errnoNumber('ECHILD');

/**
 * One ended child: of a pidfd (W.P_PIDFD), a pid, or any (W.P_ALL). Undefined when none has ended (with W.NOHANG) or
 * there is no such child. W.EXITED is always added.
 */
export function waitid(idType: number, id: number, options: number = W.NOHANG): Ended | undefined {
  siginfo.fill(0);
  const result = call(NR.waitid, idType, id, siginfo, options | W.EXITED, 0);
  if (result === NO_CHILD) return undefined;
  if (result < 0) must('waitid', NR.waitid, idType, id, siginfo, options | W.EXITED, 0);
  const pid = siginfoView.getInt32(16, true);
  if (pid === 0) return undefined;
  const status = siginfoView.getInt32(24, true);
  const exited = siginfoView.getInt32(8, true) === CLD_EXITED;
  return { pid, code: exited ? status : 0, signal: exited ? 0 : status };
}

/** What a shell would call it: the status, or 128 + signal. */
export function exitCodeOf(ended: Ended): number {
  return ended.signal === 0 ? ended.code : 128 + ended.signal;
}

/** SIGKILL by pidfd; one that has ended already is no error. */
export function killByPidfd(pidfd: number): void {
  call(NR.pidfd_send_signal, pidfd, SIG.KILL, 0, 0);
}
