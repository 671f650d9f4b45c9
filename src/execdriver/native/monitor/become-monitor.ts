/**
 * What a process does to be the monitor: a session of its own, signals blocked in every thread (so that a signalfd sees
 * them), adopts orphans, cannot be traced or dumped, is the last to be killed for memory, and holds descriptors 3–255, so
 * that no descriptor it receives lies where a child's first steps put theirs.
 */
import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { log } from '#pkg/log/log.ts';
import { Arena } from '#sys/arena.ts';
import { call, must } from '#sys/call.ts';
import { isErrno } from '#sys/errno.ts';
import { close, dup, open } from '#sys/files.ts';
import { LOCK, NR, O, PR, SIG } from '#sys/numbers.ts';
import { bindDetached } from '#sys/mounts.ts';
import { prctl } from '#sys/processes.ts';

const RESERVED_BELOW = 256;
const OOM_SCORE = -999;
const SIG_BLOCK = 0;
const SFD_CLOEXEC_NONBLOCK = 0o2004000;
/** INT and HUP are blocked for good: Ctrl-C in the daemon's terminal is not meant for containers. */
const BLOCKED = [SIG.CHLD, SIG.TERM, SIG.INT, SIG.HUP];

function signalSet(signals: readonly number[]): Uint8Array {
  const mask = signals.reduce((bits, signal) => bits | (1n << BigInt(signal - 1)), 0n);
  return new Uint8Array(BigUint64Array.of(mask).buffer);
}

function blockedNow(): bigint {
  const match = /^SigBlk:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'));
  return BigInt(`0x${match?.[1] ?? '0'}`);
}

/**
 * Blocks the signals and executes this program again: only threads that are born later inherit a mask, and the runtime's
 * own exist already. Returns in the second life.
 *
 * Until its execve a child's /proc/PID/exe is the zygote's own (a memfd), or, where the kernel cannot change that, ours:
 * then this life is executed from a read-only mount, so that nobody inside a container can write to our file by it.
 */
export function blockSignalsEverywhere(readOnly = !canChangeExecutable()): void {
  const wanted = BLOCKED.reduce((bits, signal) => bits | (1n << BigInt(signal - 1)), 0n);
  if ((blockedNow() & wanted) === wanted) return;
  must('rt_sigprocmask', NR.rt_sigprocmask, SIG_BLOCK, signalSet(BLOCKED), 0, 8);
  const arena = new Arena(1 << 20);
  const strings = (path: string) =>
    arena.pointers(
      readFileSync(path, 'utf8')
        .split('\0')
        .slice(0, -1)
        .map((text) => arena.str(text)),
    );
  const program = readOnly
    ? `/proc/self/fd/${bindDetached(readlinkSync('/proc/self/exe'), { readOnly })}`
    : '/proc/self/exe';
  must('execve', NR.execve, program, strings('/proc/self/cmdline'), strings('/proc/self/environ'));
}

/** False without CONFIG_CHECKPOINT_RESTORE. */
function canChangeExecutable(): boolean {
  return call(NR.prctl, PR.SET_MM, PR.SET_MM_MAP_SIZE, new Uint8Array(4), 0, 0) === 0;
}

/** Everything but the signals. Returns the signalfd of SIGCHLD and SIGTERM. */
export function becomeMonitor(): number {
  prctl(PR.SET_NAME, 'berth-monitor');
  // EPERM: it leads a process group already, as a session of its own by whoever started it does.
  const session = call(NR.setsid);
  if (session < 0) log.debug('setsid was refused', { errno: -session });
  prctl(PR.SET_DUMPABLE, 0);
  prctl(PR.SET_CHILD_SUBREAPER, 1);
  try {
    writeFileSync('/proc/self/oom_score_adj', String(OOM_SCORE));
  } catch (error) {
    log.warn('the monitor cannot be kept from the OOM killer (needs CAP_SYS_RESOURCE)', { err: error });
  }
  reserveLowDescriptors();
  return must('signalfd4', NR.signalfd4, -1, signalSet([SIG.CHLD, SIG.TERM]), 8, SFD_CLOEXEC_NONBLOCK);
}

function reserveLowDescriptors(): void {
  const nothing = open('/dev/null', O.RDWR);
  for (;;) {
    const fd = dup(nothing, 3);
    if (fd >= RESERVED_BELOW) {
      close(fd);
      break;
    }
  }
  // `nothing` itself is one of them, unless the runtime held all.
  if (nothing >= RESERVED_BELOW) close(nothing);
}

/** Takes the lock of the exec root; undefined when another monitor has it. Held until the process ends. */
export function lockExecRoot(path: string): number | undefined {
  const fd = open(path, O.RDWR | O.CREAT | O.NOFOLLOW, 0o600);
  try {
    must('flock', NR.flock, fd, LOCK.EX | LOCK.NB);
    return fd;
  } catch (error) {
    close(fd);
    if (isErrno(error, 'EAGAIN')) return undefined;
    throw error;
  }
}
