/** What the prunes have in common: their filters, and that one of a kind runs at a time. */
import type { Filters } from '#api/jobs/container.ts';
import { conflict, invalidParameter } from '#errdefs/errors.ts';
import { checkFilterKeys, matchesLabels } from '#pkg/filters/filters.ts';
import { parseTimestamp } from '#pkg/units/duration.ts';

type Labels = Readonly<Record<string, string>> | null;

export interface Conditions {
  /** Created no later than `until`. */
  readonly oldEnough: (createdNs: bigint) => boolean;
  readonly labelled: (labels: Labels) => boolean;
  /** Whether `until` was given. */
  readonly byAge: boolean;
}

/** Errors: invalid-parameter for another filter than `until`, `label`, `label!` and those of `more`. */
export function pruneConditions(filters: Filters, now: Date, more: readonly string[] = []): Conditions {
  checkFilterKeys(filters, ['until', 'label', 'label!', ...more]);
  const untils = filters.get('until') ?? [];
  if (untils.length > 1) throw invalidParameter('more than one until filter specified');
  const [until] = untils;
  const untilNs = until === undefined ? undefined : parseTimestamp(until, now);
  const unwanted = filters.has('label!');
  return {
    byAge: untilNs !== undefined,
    oldEnough: (createdNs) => untilNs === undefined || createdNs <= untilNs,
    labelled: (labels) => matchesLabels(filters, labels) && !(unwanted && matchesLabels(filters, labels, 'label!')),
  };
}

/** Two prunes of a kind at once would tell of the same things twice. */
export class PruneLock {
  #held = false;

  /** Errors: conflict when it is held. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#held) throw conflict('a prune operation is already running');
    this.#held = true;
    try {
      return await work();
    } finally {
      this.#held = false;
    }
  }
}
