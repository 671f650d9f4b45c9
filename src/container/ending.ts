/**
 * Why a run of a container ended, from what is known of it: how the process ended, who asked for it, what the kernel's
 * OOM killer did. Pure; the words are for people, the cause for programs.
 */
import type { OomFacts, WhyCause } from '#api/types/why.ts';
import { signalName } from './signals.ts';

/** Who wanted it to end. */
export interface Asked {
  readonly verb: 'stop' | 'kill' | 'restart' | 'remove' | 'shutdown';
  /** 0: the container's own stop signal. */
  readonly signal: number;
  /** RFC 3339. */
  readonly at: string;
  /** `docker (pid 12, uid 0)`, `the engine: it was unhealthy`. */
  readonly by: string;
  /** The engine itself, because of its health. */
  readonly unhealthy: boolean;
}

export interface EndFacts {
  readonly exitCode: number;
  readonly signal: number;
  /** Why the code is not the process's own; '' otherwise. */
  readonly error: string;
  readonly finishedAt: string;
  readonly asked: Asked | undefined;
  readonly oom: OomFacts | undefined;
}

export interface Classified {
  readonly cause: WhyCause;
  readonly summary: string;
}

const SIGKILL = 9;
/** By the kernel at a fault of the program, or by the program upon itself: ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS. */
const FAULTS: Readonly<Record<number, string>> = {
  4: 'an illegal instruction',
  5: 'a trap',
  6: 'it aborted itself',
  7: 'a bad memory access',
  8: 'an arithmetic error',
  11: 'an invalid memory access',
  31: 'a system call that its seccomp profile forbids',
};
const LIMITS: Readonly<Record<number, string>> = {
  24: 'it used up its CPU time (RLIMIT_CPU)',
  25: 'it wrote a file beyond its size limit (RLIMIT_FSIZE)',
};
/** A signal that was only sent counts as the reason for what happens within this time. */
const SOON_MS = 3000;

export function classify(end: EndFacts): Classified {
  const { exitCode, signal, error, oom } = end;
  if (error !== '') return { cause: 'lost', summary: `its end was not seen (${error})` };
  const asked = end.asked !== undefined && isReason(end.asked, end) ? end.asked : undefined;
  if (asked !== undefined) return byRequest(asked, end);
  if (signal === SIGKILL && oom !== undefined) return { cause: 'oom', summary: `out of memory: ${oomWords(oom)}` };
  const fault = FAULTS[signal];
  if (fault !== undefined) return { cause: 'crashed', summary: `crashed by ${signalName(signal)}: ${fault}` };
  const limit = LIMITS[signal];
  if (limit !== undefined) return { cause: 'limit', summary: `ended by ${signalName(signal)}: ${limit}` };
  if (signal !== 0) {
    const who = 'by a process of the host, not through this daemon';
    return { cause: 'signalled', summary: `killed by ${signalName(signal)} ${who}` };
  }
  const also = oom === undefined ? '' : `; before that a process in it ran out of memory: ${oomWords(oom)}`;
  if (exitCode === 0) return { cause: 'completed', summary: `ended by itself with code 0${also}` };
  return { cause: 'failed', summary: `ended by itself with code ${exitCode}${shellWords(exitCode)}${also}` };
}

function isReason(asked: Asked, end: EndFacts): boolean {
  if (asked.verb !== 'kill') return true;
  if (end.signal === asked.signal || end.exitCode === 128 + asked.signal) return true;
  const passed = Date.parse(end.finishedAt) - Date.parse(asked.at);
  return passed >= 0 && passed <= SOON_MS;
}

function byRequest(asked: Asked, { exitCode, signal }: EndFacts): Classified {
  const how = signal === 0 ? `it ended with code ${exitCode}` : `ended by ${signalName(signal)}`;
  if (asked.unhealthy) return { cause: 'unhealthy', summary: `${asked.by}; ${how}` };
  const verbs = {
    stop: 'stopped',
    kill: 'killed',
    restart: 'restarted',
    remove: 'removed by force',
    shutdown: 'stopped',
  };
  const late =
    asked.verb !== 'kill' && signal === SIGKILL && asked.signal !== SIGKILL ? ' after the time it had to stop' : '';
  return {
    cause: asked.verb === 'kill' ? 'killed' : 'stopped',
    summary: `${verbs[asked.verb]} by ${asked.by}; ${how}${late}`,
  };
}

function shellWords(exitCode: number): string {
  if (exitCode <= 128 || exitCode > 192) return '';
  return ` (so a shell tells that a program of its was ended by ${signalName(exitCode - 128)})`;
}

function oomWords(oom: OomFacts): string {
  const who = oom.Process === undefined ? 'a process' : `"${oom.Process}"`;
  const size = oom.RssBytes === undefined ? '' : ` (${mebibytes(oom.RssBytes)} of memory)`;
  const limit = oom.LimitBytes === undefined ? '' : `, the limit is ${mebibytes(oom.LimitBytes)}`;
  return `the kernel killed ${who}${size}${limit}`;
}

function mebibytes(bytes: number): string {
  return `${Math.round((bytes / (1 << 20)) * 10) / 10} MiB`;
}
