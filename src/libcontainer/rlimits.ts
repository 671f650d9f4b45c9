/**
 * Resource limits (prlimit(2)). Without CAP_SYS_RESOURCE a hard limit cannot be raised: it is kept, and the caller is told
 * by the second result. A limit of open files that nobody asked for is set all the same, since the runtime raised ours.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { readText } from '#sys/host-files.ts';
import { RLIMIT } from '#sys/numbers.ts';
import { prlimit } from '#sys/processes.ts';
import { capabilityBit } from './capabilities.ts';
import type { Rlimit } from './spec.ts';

const NOFILE_SOFT = 1024n;
const INFINITY = 0xffff_ffff_ffff_ffffn;

export interface ResourceLimit {
  readonly resource: number;
  readonly soft: bigint;
  readonly hard: bigint;
}

// First words of the lines of /proc/self/limits (fs/proc/base.c); their columns have fixed widths.
const limitLines: readonly (readonly [name: string, resource: number])[] = [
  ['Max cpu time', RLIMIT.CPU],
  ['Max file size', RLIMIT.FSIZE],
  ['Max data size', RLIMIT.DATA],
  ['Max stack size', RLIMIT.STACK],
  ['Max core file size', RLIMIT.CORE],
  ['Max resident set', RLIMIT.RSS],
  ['Max processes', RLIMIT.NPROC],
  ['Max open files', RLIMIT.NOFILE],
  ['Max locked memory', RLIMIT.MEMLOCK],
  ['Max address space', RLIMIT.AS],
  ['Max file locks', RLIMIT.LOCKS],
  ['Max pending signals', RLIMIT.SIGPENDING],
  ['Max msgqueue size', RLIMIT.MSGQUEUE],
  ['Max nice priority', RLIMIT.NICE],
  ['Max realtime priority', RLIMIT.RTPRIO],
  ['Max realtime timeout', RLIMIT.RTTIME],
];
const NAME_COLUMN = 26;
const SOFT_COLUMN = 21;

/** Hard limits in the text of /proc/self/limits by resource. */
export function hardLimits(text: string): ReadonlyMap<number, bigint> {
  const limits = new Map<number, bigint>();
  for (const [name, resource] of limitLines) {
    const at = text.indexOf(name);
    if (at === -1) continue;
    const from = at + NAME_COLUMN + SOFT_COLUMN;
    const hard = text.slice(from, text.indexOf(' ', from));
    limits.set(resource, hard === 'unlimited' ? INFINITY : BigInt(hard));
  }
  return limits;
}

/** 'RLIMIT_NOFILE' → 7. Errors: invalid-parameter. */
export function resourceNumber(type: string): number {
  const name = type.startsWith('RLIMIT_') ? type.slice('RLIMIT_'.length) : '';
  // The cast only widens the keys for a look-up by any name.
  const number = (RLIMIT as Readonly<Record<string, number>>)[name];
  if (number === undefined) throw invalidParameter(`Unknown resource limit "${type}"`);
  return number;
}

/** JSON cannot hold 2^64−1 exactly; what is beyond the range of files and sizes means unlimited. */
function limitValue(value: number): bigint {
  return value < 0 || value >= 2 ** 63 ? INFINITY : BigInt(value);
}

export interface LimitsHere {
  /** Of this process, and so of the parent of containers. */
  readonly hard: ReadonlyMap<number, bigint>;
  readonly mayRaise: boolean;
}

/** `effective`: our capabilities. */
export function limitsHere(effective: bigint): LimitsHere {
  const bit = BigInt(capabilityBit('CAP_SYS_RESOURCE'));
  return { hard: hardLimits(readText('/proc/self/limits')), mayRaise: ((effective >> bit) & 1n) === 1n };
}

/** Sets them from outside, for a process that stands at its last gate. */
export function setLimitsOf(pid: number, limits: readonly ResourceLimit[]): void {
  for (const { resource, soft, hard } of limits) prlimit(pid, resource, soft, hard);
}

/** What to set, and the names of limits that had to stay lower than asked. */
export function resolveLimits(
  rlimits: readonly Rlimit[],
  here: LimitsHere,
): { readonly limits: readonly ResourceLimit[]; readonly lowered: readonly string[] } {
  const limits = new Map<number, ResourceLimit>();
  const lowered: string[] = [];
  const nofile = here.hard.get(RLIMIT.NOFILE) ?? NOFILE_SOFT;
  limits.set(RLIMIT.NOFILE, {
    resource: RLIMIT.NOFILE,
    soft: nofile < NOFILE_SOFT ? nofile : NOFILE_SOFT,
    hard: nofile,
  });
  for (const { type, soft, hard } of rlimits) {
    const resource = resourceNumber(type);
    const wanted = { soft: limitValue(soft), hard: limitValue(hard) };
    if (wanted.soft > wanted.hard)
      throw invalidParameter(`Soft limit of ${type} is greater than its hard limit: ${soft} > ${hard}`);
    const possible = here.mayRaise ? INFINITY : (here.hard.get(resource) ?? INFINITY);
    if (wanted.hard > possible) lowered.push(type);
    limits.set(resource, {
      resource,
      soft: wanted.soft < possible ? wanted.soft : possible,
      hard: wanted.hard < possible ? wanted.hard : possible,
    });
  }
  return { limits: [...limits.values()], lowered };
}
