/**
 * A cgroup of one container, the same face for v1 and v2.
 *
 * Lifecycle: `createCgroup` (cgroups.ts) makes it with its limits, processes join it by `join` (the first steps of a
 * program, or CLONE_INTO_CGROUP), `remove` kills what is left in it and takes it away. `openCgroup` is the same group
 * after a restart of the daemon: nothing is remembered, everything is asked of the kernel. A group that is gone answers
 * with nothing (no pids, zero stats); only `apply` and `freeze` say not-found.
 */
import type { Resources } from '#libcontainer/spec.ts';
import type { CgroupPressure, CgroupStats } from './stats.ts';

/** How a process gets in: on v1 "0" is written to each of these files by the process itself; on v2 the directory. */
export type CgroupJoin =
  | { readonly version: 1; readonly tasks: readonly string[] }
  | { readonly version: 2; readonly directory: string };

/** One directory of the group, for bind mounts under a container's /sys/fs/cgroup. */
export interface CgroupDirectory {
  readonly mountPoint: string;
  readonly directory: string;
  /** v1: the controllers of this hierarchy; v2: empty. */
  readonly controllers: readonly string[];
}

export interface Cgroup {
  readonly version: 1 | 2;
  /** Below each mount point: `/berth/ID`. */
  readonly path: string;
  /** `init`: pid of the container's first process, for one that joins it later. */
  join(init?: number): CgroupJoin;
  directories(): readonly CgroupDirectory[];
  /** Sets or changes limits; what `resources` does not name stays. */
  apply(resources: Resources): void;
  /** As `apply`, but all or nothing: a failure puts back what was before. Returns what takes the change back. */
  update(resources: Resources): () => void;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  frozen(): boolean;
  /** All processes, those of groups made inside by the container included. */
  pids(): number[];
  stats(): CgroupStats;
  /** Of v2 only. */
  pressure(): CgroupPressure;
  /** Processes that the kernel's OOM killer has ended in this group. */
  oomKills(): number;
  /** Calls back at each OOM, without polling. Dispose when the container has ended. */
  watchOom(onOom: () => void): Disposable;
  /** v2, after the start (before it the launch itself could be taken along): the OOM killer ends all or none. */
  setOomGroup(together: boolean): void;
  /** Kills what is inside, waits for it to go and removes the group. Idempotent. */
  remove(): Promise<void>;
}
