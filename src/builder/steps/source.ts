/** What a step copies from or mounts, perhaps not here yet. */
import type { KeptTree } from '../files/jobs.ts';
import type { StageState } from '../state.ts';

/** Files of another stage, an image or a context. */
export interface StepSource {
  /** How they came about; undefined: only the files say it. */
  readonly origin: string | undefined;
  isHere(): boolean;
  /** Brings them when they are not here. */
  root(): Promise<number>;
  /** Of a context: the same files as a kept tree, with the lines of the ignore file that goes for it. */
  kept?(): Promise<{ readonly tree: KeptTree; readonly ignore: readonly string[] } | undefined>;
  /** What they are a state of; undefined for contexts. */
  on(): Promise<StageState['on'] | undefined>;
}
