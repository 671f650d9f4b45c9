/** What the archive Workers can do: the messages between pool.ts and archive-worker.ts. Plain data only. */
import type { ErrorKind } from '#errdefs/errors.ts';
import type { ByteString } from './entry.ts';
import type { Compression } from './compression.ts';
import type { UnpackCounts, WhiteoutMode } from './unpack.ts';

/** Reads a layer once: blob hash → inflate → diff hash → files. */
export interface UnpackJob {
  readonly kind: 'unpack';
  /** File that holds the layer's tar, compressed or not. */
  readonly file: string;
  /** Existing directory that the files go to. */
  readonly target: string;
  readonly whiteouts: WhiteoutMode;
  /** Where the tar's record goes (tar-record.ts); does not exist yet. */
  readonly record?: string | undefined;
}

/** As unpack, without files: what is a blob, and what does it inflate to. */
export interface MeasureJob {
  readonly kind: 'measure';
  readonly file: string;
}

/** Writes what a compressed file holds into a new one. */
export interface InflateJob {
  readonly kind: 'inflate';
  readonly file: string;
  /** Does not exist yet. */
  readonly to: string;
}

/** Copies what is in the directory `from` into the existing directory `to`, with owners, times, attributes and links. */
export interface CopyJob {
  readonly kind: 'copy';
  readonly from: string;
  readonly to: string;
}

/** Packs a container's own files as a layer: the tar into a file and, from the same bytes, the layer's files. */
export interface CaptureJob {
  readonly kind: 'capture';
  /** Directory of the files. */
  readonly from: string;
  /** 'overlay': `from` is an upper directory; 'none': `only` says what of it belongs to the layer. */
  readonly whiteouts: 'overlay' | 'none';
  /** Does not exist yet. */
  readonly file: string;
  /** Existing directory for the layer's files in overlay's form; undefined: only the tar. */
  readonly target: string | undefined;
  /** Clean paths that are left out, what is in them is not. */
  readonly skip: ReadonlySet<ByteString>;
  /** Clean paths; undefined: all. */
  readonly only: ReadonlySet<ByteString> | undefined;
  /** No time in the tar is later. */
  readonly secondsMax?: number | undefined;
  /** Clean paths that the layer deletes. */
  readonly deleted: readonly ByteString[];
}

/** Makes a layer's tar again of its files and the record of it. */
export interface AssembleJob {
  readonly kind: 'assemble';
  readonly record: string;
  /** Directory of the files. */
  readonly from: string;
  /** Does not exist yet. */
  readonly file: string;
}

/** syncfs of the file system that holds `path`. */
export interface SyncJob {
  readonly kind: 'sync';
  readonly path: string;
}

/** Gives the tree at the descriptor, which stays the sender's, to one owner. */
export interface ChownJob {
  readonly kind: 'chown';
  readonly fd: number;
  readonly uid: number;
  readonly gid: number;
}

export type ArchiveJob = AssembleJob | CaptureJob | InflateJob | UnpackJob | MeasureJob | CopyJob | SyncJob | ChownJob;

/** Of unpack and measure; the others have none. */
export interface ArchiveResult {
  readonly compression: Compression;
  /** Of the file as it is: `sha256:…`. */
  readonly blobDigest: string;
  readonly blobSize: number;
  /** Of the inflated tar. */
  readonly diffId: string;
  readonly tarSize: number;
  readonly counts: UnpackCounts;
}

/** Words of the shared memory beside a job. */
export const CANCEL = 0;
/** Grows with every piece; the pool sees by it that the Worker lives. */
export const PROGRESS = 1;
export const SHARED_BYTES = 8;

export interface JobMessage {
  readonly job: ArchiveJob;
  readonly shared: SharedArrayBuffer;
}

export type JobAnswer =
  | { readonly ok: true; readonly result: ArchiveResult | undefined }
  | { readonly ok: false; readonly kind: ErrorKind; readonly message: string };
