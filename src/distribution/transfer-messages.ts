/** What transfer-pool.ts and transfer-worker.ts say to each other. Plain data only. */
import type { ErrorKind } from '#errdefs/errors.ts';
import type { ArchiveResult } from '#pkg/archive/jobs.ts';
import type { WhiteoutMode } from '#pkg/archive/unpack.ts';
import type { Endpoint } from '#registry/endpoints.ts';
import type { ProxySettings } from '#registry/settings.ts';

export interface TransferBlob {
  /** Of the repository. */
  readonly path: string;
  readonly digest: string;
  readonly size: number;
}

export interface TransferJob {
  readonly blob: TransferBlob;
  /** Tried one after the other. */
  readonly sources: readonly { readonly endpoint: Endpoint; readonly authorization: string | undefined }[];
  readonly proxies: ProxySettings;
  readonly attemptsMax: number;
  /** Blobs from this size on are fetched in ranges, several at a time. */
  readonly rangesFrom: number;
  /** Where the blob is kept; its first `have` bytes are there already. */
  readonly file: string;
  readonly have: number;
  /** Existing directory for the layer's files; undefined: they are unpacked later. */
  readonly target:
    | { readonly path: string; readonly whiteouts: WhiteoutMode; readonly record?: string | undefined }
    | undefined;
}

/** Words of the memory shared with a job: a Float64Array. */
export const RECEIVED = 0;
/** Grows with everything that happens: the pool sees by it that the Worker lives. */
export const ALIVE = 1;
export const SHARED_WORDS = 2;

export type ToWorker =
  | { readonly kind: 'start'; readonly id: number; readonly job: TransferJob; readonly shared: SharedArrayBuffer }
  | { readonly kind: 'cancel'; readonly id: number }
  | {
      readonly kind: 'authorization';
      readonly id: number;
      readonly value: string | undefined;
      readonly failure: { readonly kind: ErrorKind; readonly message: string } | undefined;
    };

export type FromWorker =
  | {
      readonly kind: 'authorize';
      readonly id: number;
      /** Index in the job's sources. */
      readonly source: number;
      readonly challenge: string | null;
      readonly used: string | undefined;
    }
  | { readonly kind: 'waiting'; readonly id: number; readonly seconds: number; readonly reason: string }
  | { readonly kind: 'received'; readonly id: number }
  | { readonly kind: 'done'; readonly id: number; readonly result: ArchiveResult }
  | { readonly kind: 'failed'; readonly id: number; readonly error: ErrorKind; readonly message: string };
