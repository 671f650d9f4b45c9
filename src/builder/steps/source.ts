/** What a step copies from or mounts, perhaps not here yet. */
import type { StageState } from '../state.ts';

/** Files of another stage, an image or a context. */
export interface StepSource {
  /** How they came about; undefined: only the files say it. */
  readonly origin: string | undefined;
  isHere(): boolean;
  /** Brings them when they are not here. */
  root(): Promise<number>;
  /** What they are a state of; undefined for contexts. */
  on(): Promise<StageState['on'] | undefined>;
}
