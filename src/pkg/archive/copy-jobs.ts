/** Messages between copy-streams.ts and copy-worker.ts. Plain data only; descriptors are numbers of the one process. */
import type { ErrorKind } from '#errdefs/errors.ts';
import type { BodyPosition } from '#pkg/http-body/body-decoder.ts';
import type { BodyRest } from '#pkg/http-body/lent.ts';
import type { ByteString } from './entry.ts';
import type { IdShift } from './id-shift.ts';
import type { KeptSummary } from './kept/receive.ts';
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

/** Into a kept tree; see kept/receive.ts. */
export interface KeepJob {
  readonly kind: 'keep';
  /** Open for reading and writing. */
  readonly contents: number;
  readonly at: number;
  /** Index of what is kept already; '' for none. */
  readonly base: string;
  /** The archive has what differs from it only. */
  readonly changes: boolean;
  /** Where the new index goes. */
  readonly index: string;
  /** Where contents go that are written anew. */
  readonly spare: string;
  readonly nowSeconds: number;
}

export type TakingJob = UnpackIntoJob | KeepJob;
export type StreamJob = PackTreeJob | PackOneJob | TakingJob;

/** `stop`: an eventfd that ends the waiting for the socket. */
interface LentDescriptors {
  readonly fd: number;
  readonly stop: number;
}

export type ToWorker =
  | { readonly kind: 'start'; readonly id: number; readonly job: StreamJob }
  /** Of a packing job: a further piece is wanted; `memory` is one that was read. */
  | { readonly kind: 'more'; readonly id: number; readonly memory: ArrayBuffer | undefined }
  /** Of an unpacking job: the next bytes. */
  | { readonly kind: 'bytes'; readonly id: number; readonly memory: ArrayBuffer; readonly length: number }
  /** Of an unpacking job: all that follows is read from the socket, to the body's end. The descriptors are the Worker's. */
  | ({ readonly kind: 'read-from'; readonly id: number; readonly position: BodyPosition } & LentDescriptors)
  /** Of a packing job: all that follows is written to the socket. */
  | ({ readonly kind: 'write-to'; readonly id: number; readonly chunked: boolean } & LentDescriptors)
  /** Of an unpacking job: that was all. */
  | { readonly kind: 'end'; readonly id: number }
  | { readonly kind: 'cancel'; readonly id: number };

export type FromWorker =
  | { readonly kind: 'piece'; readonly id: number; readonly memory: ArrayBuffer; readonly length: number }
  /** Of `read-from`, before its end: what the socket's server goes on with. */
  | { readonly kind: 'rest'; readonly id: number; readonly rest: BodyRest }
  | { readonly kind: 'taken'; readonly id: number; readonly memory: ArrayBuffer }
  | { readonly kind: 'done'; readonly id: number; readonly result: UnpackCounts | KeptSummary | undefined }
  | { readonly kind: 'failed'; readonly id: number; readonly error: ErrorKind; readonly message: string };
