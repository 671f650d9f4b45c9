/** Messages between copy-streams.ts and copy-worker.ts. Plain data only; descriptors are numbers of the one process. */
import type { ErrorKind } from '#errdefs/errors.ts';
import type { ByteString } from './entry.ts';
import type { IdShift } from './id-shift.ts';
import type { UnpackCounts } from './unpack.ts';

/** A directory with all that is in it (`prefix` ends in a slash, '' leaves the directory itself out). */
export interface PackTreeJob {
  readonly kind: 'pack-tree';
  readonly root: number;
  readonly prefix: ByteString;
  readonly leaveOut: readonly bigint[];
  readonly ids?: IdShift | undefined;
}

/** One file of a directory. */
export interface PackOneJob {
  readonly kind: 'pack-one';
  readonly directory: number;
  readonly name: ByteString;
  readonly as: ByteString;
  readonly leaveOut: readonly bigint[];
  readonly ids?: IdShift | undefined;
}

/** Into a directory that is there, `path` of the file system whose root is `scopeRoot`. */
export interface UnpackIntoJob {
  readonly kind: 'unpack-into';
  readonly root: number;
  readonly scopeRoot: number;
  readonly path: ByteString;
  readonly refuse: boolean;
  /** The directory is all the archive's: it gets the owner, mode and times that are said of it. */
  readonly rootToo?: boolean;
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  readonly ids?: IdShift | undefined;
}

export type StreamJob = PackTreeJob | PackOneJob | UnpackIntoJob;

export type ToWorker =
  | { readonly kind: 'start'; readonly id: number; readonly job: StreamJob }
  /** Of a packing job: a further piece is wanted; `memory` is one that was read. */
  | { readonly kind: 'more'; readonly id: number; readonly memory: ArrayBuffer | undefined }
  /** Of an unpacking job: the next bytes. */
  | { readonly kind: 'bytes'; readonly id: number; readonly memory: ArrayBuffer; readonly length: number }
  /** Of an unpacking job: that was all. */
  | { readonly kind: 'end'; readonly id: number }
  | { readonly kind: 'cancel'; readonly id: number };

export type FromWorker =
  | { readonly kind: 'piece'; readonly id: number; readonly memory: ArrayBuffer; readonly length: number }
  | { readonly kind: 'taken'; readonly id: number; readonly memory: ArrayBuffer }
  | { readonly kind: 'done'; readonly id: number; readonly counts: UnpackCounts | undefined }
  | { readonly kind: 'failed'; readonly id: number; readonly error: ErrorKind; readonly message: string };
