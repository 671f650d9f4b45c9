/** The job behind `stats`. */
import type { ContainerStats } from '#api/types/stats.ts';
import { defineJob } from '#engine/engine.ts';

export interface StatsInput {
  readonly container: string;
  /** `stream`: one a second until the container is gone; `once`: two samples, one answer; `one-shot`: one sample. */
  readonly mode: 'stream' | 'once' | 'one-shot';
  /** Called when the container is known: a stream's head goes out. */
  readonly accepted: () => void;
  /** Resolves when the client has room for more; what comes in between is left out. */
  readonly emit: (stats: ContainerStats<bigint>) => Promise<void>;
}

/** Errors: not-found `No such container: X`. */
export const containerStats = defineJob<StatsInput, void>('container.stats', { longLived: true });
