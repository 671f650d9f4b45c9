/** The job behind /metrics. */
import { defineJob } from '#engine/engine.ts';

/** What the API server knows of itself. */
export interface ServerFacts {
  /** Requests so far, by `METHOD /path`. */
  readonly requests: ReadonlyMap<string, number>;
  readonly connections: number;
}

/** OpenMetrics text. */
export const systemMetrics = defineJob<{ server: ServerFacts }, string>('system.metrics');
