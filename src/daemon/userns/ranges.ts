/**
 * Ranges of ids for user namespaces. What is taken is read from the records of the containers, so a range is free again
 * in the moment in which its container is, and no crash can lose or double one.
 */
import { createHash } from 'node:crypto';
import type { UserNamespace } from '#container/user-namespace.ts';
import { invalidParameter, unavailable } from '#errdefs/errors.ts';
import type { IdMapping } from '#libcontainer/spec.ts';
import { type IdRange, rangesOf, type SubordinateFiles } from './subordinate-ids.ts';

/** Above what useradd and systemd-nspawn give, below systemd's foreign ids: 4094 ranges of 65536. */
export const DEFAULT_POOL: IdRange = { start: 0x7000_0000, count: 0x0ffe_0000 };
/** Users whose subordinate ids are the pool when the configuration names none. */
const POOL_USERS = ['berth', 'containers'];

export interface Pool {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
  /** Where the search begins, from 0 to 1: daemons that share the default pool keep out of each other's way. */
  readonly from: number;
}

/** `setting`: the key `userns-pool`: `START:COUNT` or a user; undefined: the first that is there. */
export function poolOf(setting: string | undefined, files: SubordinateFiles, suffix: string | undefined): Pool {
  const numbers = /^([0-9]+):([0-9]+)$/.exec(setting ?? '');
  if (numbers !== null) {
    const range = { start: Number(numbers[1]), count: Number(numbers[2]) };
    if (range.start === 0 || range.count === 0 || range.start + range.count > 0xffff_fffe) {
      throw invalidParameter(`invalid value for "userns-pool": "${setting}" is no range of ids above 0`);
    }
    return { uids: [range], gids: [range], from: 0 };
  }
  for (const user of setting === undefined ? POOL_USERS : [setting]) {
    const uids = rangesOf(files.uids, [user]);
    const gids = rangesOf(files.gids, [user]);
    if (uids.length > 0 && gids.length > 0) return { uids, gids, from: 0 };
  }
  if (setting !== undefined) {
    throw invalidParameter(`invalid value for "userns-pool": no subuid or subgid ranges found for user "${setting}"`);
  }
  const from = suffix === undefined ? 0 : createHash('sha256').update(suffix).digest().readUInt32BE(0) / 2 ** 32;
  return { uids: [DEFAULT_POOL], gids: [DEFAULT_POOL], from };
}

/** A range of `size` ids for uids and gids each that no one of `taken` touches. Errors: unavailable. */
export function allocate(pool: Pool, taken: readonly UserNamespace[], size: number): UserNamespace {
  const uid = free(pool.uids, hostRanges(taken.flatMap(({ uids }) => uids)), size, pool.from);
  const gid = free(pool.gids, hostRanges(taken.flatMap(({ gids }) => gids)), size, pool.from);
  if (uid === undefined || gid === undefined) {
    throw unavailable(`no range of ${size} ids is free for a user namespace: see the key "userns-pool"`);
  }
  const mapped = (hostID: number): IdMapping[] => [{ containerID: 0, hostID, size }];
  return { uids: mapped(uid), gids: mapped(gid) };
}

function hostRanges(mappings: readonly IdMapping[]): IdRange[] {
  return mappings.map(({ hostID, size }) => ({ start: hostID, count: size })).sort((a, b) => a.start - b.start);
}

function free(pool: readonly IdRange[], taken: readonly IdRange[], size: number, from: number): number | undefined {
  for (const { start, count } of pool) {
    // Whole ranges apart, so that what is free again fits the next.
    const slots = Math.floor(count / size);
    const first = start + Math.floor(from * slots) * size;
    const end = start + count;
    const found = gap(first, end, taken, size) ?? gap(start, Math.min(end, first + size), taken, size);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Lowest place of `size` ids in [start, end) between the sorted ranges. */
function gap(start: number, end: number, taken: readonly IdRange[], size: number): number | undefined {
  let at = start;
  for (const range of taken) {
    if (range.start + range.count <= at) continue;
    if (range.start >= at + size) break;
    at = range.start + range.count;
  }
  return at + size <= end ? at : undefined;
}
