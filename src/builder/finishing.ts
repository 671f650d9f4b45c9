/** What the end of a build has at hand. */
import type { LayerLease } from '#layer/layer-store.ts';
import type { BuildRun } from './build-run.ts';
import type { Dockerfile } from './dockerfile/instructions.ts';
import type { Plan } from './dockerfile/plan.ts';
import type { CompressionWish } from './request.ts';
import type { BuildSession } from './session.ts';
import type { StageState } from './state.ts';

export const DEFAULT_COMPRESSION: CompressionWish = { type: 'gzip', level: undefined, force: false };

export interface Finishing {
  readonly session: BuildSession;
  readonly file: Dockerfile;
  readonly plan: Plan;
  /** Layers that are kept until the build is over. */
  readonly lease: LayerLease;
  readonly startedAt: Date;
}

/** A platform's end. */
export interface FinishedRun {
  readonly run: BuildRun;
  readonly state: StageState;
}
