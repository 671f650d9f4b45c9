/**
 * Ids of an archive and ids on the disk. In a container of a user namespace they differ: what the archive calls 0 is
 * another id of the host. Plain data, so that it goes to a Worker; without ranges both are the same.
 */
import { systemError } from '#errdefs/errors.ts';

export interface IdRange {
  /** First id in the archive (the container's view). */
  readonly inside: number;
  /** First id on the disk. */
  readonly outside: number;
  readonly size: number;
}

export interface IdShift {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

/** What the kernel shows for an id that has no mapping. */
const OVERFLOW_ID = 65_534;

/** Archive → disk. Errors: system for an id that the namespace does not have. */
export function outsideId(ranges: readonly IdRange[] | undefined, id: number): number {
  if (ranges === undefined || ranges.length === 0) return id;
  const range = ranges.find((r) => id >= r.inside && id < r.inside + r.size);
  if (range === undefined) throw systemError(`id ${id} is not mapped in the user namespace of the container`);
  return range.outside + (id - range.inside);
}

/** Disk → archive. */
export function insideId(ranges: readonly IdRange[] | undefined, id: number): number {
  if (ranges === undefined || ranges.length === 0) return id;
  const range = ranges.find((r) => id >= r.outside && id < r.outside + r.size);
  return range === undefined ? OVERFLOW_ID : range.inside + (id - range.outside);
}
