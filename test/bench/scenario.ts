/** What a scenario is: rounds in which every engine does the same once, taking turns at going first. */
import type { Engine } from './engine.ts';
import type { Recorder } from './recorder.ts';

export interface Round {
  readonly engine: Engine;
  readonly recorder: Recorder;
  /** From 0; rounds before the measured ones are negative. */
  readonly number: number;
}

export interface Scenario {
  readonly name: string;
  readonly what: string;
  readonly rounds: number;
  readonly warmUps: number;
  /** Takes gigabytes or many minutes: not part of a run of everything. */
  readonly onlyByName?: boolean;
  /** Asks engines for `build` and nothing else: those that only build take part. */
  readonly builds?: boolean;
  /** Rounds of dockerd, where one takes it a minute. Its row then has as many samples; the work is the same. */
  readonly peerRounds?: number;
  readonly prepare?: (engine: Engine) => Promise<void>;
  readonly round: (round: Round) => Promise<void>;
  /** After the last round, also when one has failed. */
  readonly finish?: () => Promise<void>;
}

/** Runs the engine with these arguments and records the milliseconds. */
export async function timed({ engine, recorder }: Round, metric: string, args: readonly string[]): Promise<void> {
  const { ms } = await engine.run(args);
  recorder.add(metric, engine.name, ms, 'ms');
}

/** What arrives is more than what was written. */
export const ANY_NUMBER = -1;

/** Runs a line of shell that moves so many bytes and prints how many arrived; records MB/s. */
export async function throughput(
  { engine, recorder }: Round,
  metric: string,
  bytes: number,
  line: string,
  expected = bytes,
): Promise<void> {
  const { ms, stdout } = await engine.shell(line, { keep: true });
  if (expected !== ANY_NUMBER && Number(stdout) !== expected) {
    recorder.fail(engine.name, `${metric}: ${stdout} of ${expected} bytes arrived`);
  }
  recorder.add(metric, engine.name, bytes / 1e3 / ms, 'MB/s');
}
