/** Counts jobs and their durations by name and outcome, for /metrics. */
import type { EngineObserver, JobRecord, JobStatus } from './engine.ts';

/** Seconds: from a list of containers to a big image. */
export const durationBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export interface JobTally {
  running: number;
  readonly ended: Map<JobStatus, number>;
  /** How many took no longer than each bound, and longer than the one before. */
  readonly counts: number[];
  seconds: number;
}

export class JobMetrics implements EngineObserver {
  readonly #tallies = new Map<string, JobTally>();

  jobStarted({ name }: JobRecord): void {
    this.#of(name).running += 1;
  }

  jobEnded({ name, status, durationMs = 0 }: JobRecord): void {
    const tally = this.#of(name);
    tally.running -= 1;
    tally.ended.set(status, (tally.ended.get(status) ?? 0) + 1);
    const seconds = durationMs / 1000;
    tally.seconds += seconds;
    const place = durationBounds.findIndex((bound) => seconds <= bound);
    const index = place < 0 ? durationBounds.length : place;
    tally.counts[index] = (tally.counts[index] ?? 0) + 1;
  }

  /** By name of the job. */
  tallies(): ReadonlyMap<string, Readonly<JobTally>> {
    return this.#tallies;
  }

  #of(name: string): JobTally {
    let tally = this.#tallies.get(name);
    if (tally === undefined) {
      tally = { running: 0, ended: new Map(), counts: [], seconds: 0 };
      this.#tallies.set(name, tally);
    }
    return tally;
  }
}
