/**
 * What a build tells while it goes on. Vertices are steps; their ids are unique in the build. Each printer (classic
 * lines, BuildKit's status, our tree) makes its own of it.
 */
export interface Vertex {
  readonly id: string;
  /** `[build 2/4] RUN make`. */
  readonly name: string;
  /** The instruction as it is written, for `Step 2/7 : RUN make`. */
  readonly instruction: string;
  /** From 1, in the order of the Dockerfile; 0: not an instruction. */
  readonly number: number;
  readonly total: number;
  readonly stage: string;
  readonly inputs: readonly string[];
}

export type StepOutcome = 'done' | 'cached' | 'cancelled' | 'failed';

export interface EndDetail {
  readonly state?: string;
  readonly error?: string;
  /** The cache elsewhere that had the result. */
  readonly from?: string;
}

export interface EndDetail {
  readonly state?: string;
  readonly error?: string;
  /** What was thrown. */
  readonly failure?: unknown;
}

export interface Progress {
  /** A step is known of; they come in the order of the Dockerfile, before anything begins. */
  vertex(vertex: Vertex): void;
  started(id: string): void;
  /** The instruction with the values of its variables, for people. */
  expanded?(id: string, instruction: string): void;
  /** It runs in this container. */
  container(id: string, container: string): void;
  /** The container is gone again. */
  containerGone(id: string, container: string): void;
  log(id: string, stream: 1 | 2, bytes: Uint8Array): void;
  /** A transfer. */
  status(id: string, name: string, current: number, total: number | undefined): void;
  /** `state`: short name of what the file system is now. */
  ended(id: string, outcome: StepOutcome, detail: EndDetail): void;
  /** Why a step was not found in the cache: names of what it means that differ from the last time. */
  why(id: string, reasons: readonly string[]): void;
  /** A message of no step. */
  note(text: string): void;
  warning(text: string): void;
}
