/** What a probe is given and what comes of it. */
import type { HealthPlan } from '#container/health.ts';
import type { ContainerRecord } from '#container/record.ts';
import type { Deadlines } from '#pkg/deadlines/deadlines.ts';
import { formatDuration } from '#pkg/units/duration.ts';
import type { LiveContainer } from '../container/live.ts';
import type { Services } from '../services.ts';
import type { SocketPool } from './socket-pool.ts';

const NS_PER_MS = 1e6;

export interface ProbeInput {
  readonly services: Services;
  readonly record: ContainerRecord;
  readonly live: LiveContainer;
  readonly plan: HealthPlan;
  readonly deadlines: Deadlines;
  readonly sockets: SocketPool;
  /** Aborted when the result is no longer wanted. */
  readonly over: AbortSignal;
}

export interface ProbeOutcome {
  readonly exitCode: number;
  readonly output: string;
}

export function timedOut(timeoutMs: number, output: string): ProbeOutcome {
  const limit = formatDuration(BigInt(Math.round(timeoutMs * NS_PER_MS)));
  const words = `Health check exceeded timeout (${limit})`;
  return { exitCode: -1, output: output === '' ? words : `${words}: ${output}` };
}
