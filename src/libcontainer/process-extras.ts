/** The rarer parts of a process: execution domain, I/O priority, scheduler. */
import { invalidParameter } from '#errdefs/errors.ts';
import { NR } from '#sys/numbers.ts';
import type { Program } from '#sys/program.ts';
import type { Linux, Process } from './spec.ts';

const PER_LINUX32 = 8;
const IOPRIO_WHO_PROCESS = 1;
const IOPRIO_CLASS_SHIFT = 13;
const IOPRIO_MAX = 7;
const SCHED_ATTR_BYTES = 56;

const ioClasses: Readonly<Record<string, number>> = { IOPRIO_CLASS_RT: 1, IOPRIO_CLASS_BE: 2, IOPRIO_CLASS_IDLE: 3 };
const policies: Readonly<Record<string, number>> = {
  SCHED_OTHER: 0,
  SCHED_FIFO: 1,
  SCHED_RR: 2,
  SCHED_BATCH: 3,
  SCHED_ISO: 4,
  SCHED_IDLE: 5,
  SCHED_DEADLINE: 6,
};
const schedulerFlags: Readonly<Record<string, number>> = {
  SCHED_FLAG_RESET_ON_FORK: 1,
  SCHED_FLAG_RECLAIM: 2,
  SCHED_FLAG_DL_OVERRUN: 4,
  SCHED_FLAG_KEEP_POLICY: 8,
  SCHED_FLAG_KEEP_PARAMS: 0x10,
  SCHED_FLAG_UTIL_CLAMP_MIN: 0x20,
  SCHED_FLAG_UTIL_CLAMP_MAX: 0x40,
};

export function addPersonality(program: Program, personality: Linux['personality']): void {
  if (personality === undefined) return;
  if ((personality.flags ?? []).length > 0) throw invalidParameter('linux.personality.flags: are not supported');
  if (personality.domain !== 'LINUX' && personality.domain !== 'LINUX32')
    throw invalidParameter(`linux.personality.domain: unknown domain "${personality.domain}"`);
  program.do('set personality', NR.personality, personality.domain === 'LINUX32' ? PER_LINUX32 : 0);
}

/** `value` of a table, or invalid-parameter naming the field. */
function named(table: Readonly<Record<string, number>>, name: string, field: string): number {
  const value = table[name];
  if (value === undefined) throw invalidParameter(`${field}: unknown value "${name}"`);
  return value;
}

export function addPriorities(program: Program, process: Process): void {
  const { ioPriority, scheduler } = process;
  if (ioPriority !== undefined) {
    const { priority } = ioPriority;
    if (priority < 0 || priority > IOPRIO_MAX) throw invalidParameter('process.ioPriority.priority: must be 0 to 7');
    const ioClass = named(ioClasses, ioPriority.class, 'process.ioPriority.class');
    const value = (ioClass << IOPRIO_CLASS_SHIFT) | priority;
    program.do('set I/O priority', NR.ioprio_set, IOPRIO_WHO_PROCESS, 0, value);
  }
  if (scheduler !== undefined) {
    const bytes = new Uint8Array(SCHED_ATTR_BYTES);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, SCHED_ATTR_BYTES, true);
    view.setUint32(4, named(policies, scheduler.policy, 'process.scheduler.policy'), true);
    const flags = (scheduler.flags ?? []).map((flag) => named(schedulerFlags, flag, 'process.scheduler.flags'));
    view.setBigUint64(8, BigInt(flags.reduce((all, flag) => all | flag, 0)), true);
    view.setInt32(16, scheduler.nice ?? 0, true);
    view.setUint32(20, scheduler.priority ?? 0, true);
    for (const [at, value] of [
      [24, scheduler.runtime],
      [32, scheduler.deadline],
      [40, scheduler.period],
    ] as const)
      view.setBigUint64(at, BigInt(value ?? 0), true);
    program.do('set scheduler', NR.sched_setattr, 0, program.bytes(bytes), 0);
  }
}
