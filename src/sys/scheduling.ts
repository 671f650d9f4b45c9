/** How the kernel's scheduler treats this thread. */
import { call } from './call.ts';
import { NR } from './numbers.ts';

/** include/uapi/linux/sched/types.h */
const ATTRIBUTES_BYTES = 48;
const POLICY_AT = 4;
const FLAGS_AT = 8;
const NICE_AT = 16;
const RUNTIME_AT = 24;
const SCHED_OTHER = 0;
const RESET_ON_FORK = 1n;

const TURN_NS = 100_000n;

/**
 * Short turns, so that this thread gets its next one before threads that compute: one that serves requests sleeps most
 * of the time and is otherwise let wait for the others' full turns of some milliseconds. Its share of the processors
 * stays as it is, and nothing that it starts inherits it. Since Linux 6.12; earlier ones change nothing. False where
 * somebody has chosen another policy or priority for us, or it is refused.
 */
export function takeShortTurns(): boolean {
  const bytes = new Uint8Array(ATTRIBUTES_BYTES);
  if (call(NR.sched_getattr, 0, bytes, ATTRIBUTES_BYTES, 0) < 0) return false;
  const view = new DataView(bytes.buffer);
  if (view.getUint32(POLICY_AT, true) !== SCHED_OTHER || view.getInt32(NICE_AT, true) < 0) return false;
  view.setBigUint64(FLAGS_AT, RESET_ON_FORK, true);
  view.setBigUint64(RUNTIME_AT, TURN_NS, true);
  return call(NR.sched_setattr, 0, bytes, 0) === 0;
}
