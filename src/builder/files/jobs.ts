/** Messages between files-pool.ts and files-worker.ts. Plain data only; descriptors are numbers of the one process. */
import type { ErrorKind } from '#errdefs/errors.ts';
import type { ByteString } from '#pkg/archive/entry.ts';
import type { ArchiveResult } from '#pkg/archive/jobs.ts';
import type { KeptDelta } from '#pkg/archive/kept/kept-index.ts';

/** Files below a root that a COPY, an ADD or a mount names. */
export interface Selection {
  /** Open directory that counts as `/` for every path and link; it stays the sender's. */
  readonly root: number;
  /** As written, from the root; with wildcards where `wildcards` says so. */
  readonly sources: readonly string[];
  readonly wildcards: boolean;
  /** Lines of .dockerignore that apply to paths from the root. */
  readonly ignore: readonly string[];
  /** Patterns of --exclude; relative to each source. */
  readonly exclude: readonly string[];
  /** --parents: what is before `/./` is not part of the target's path. */
  readonly parents: boolean;
}

export interface DigestJob {
  readonly kind: 'digest';
  readonly selection: Selection;
  /** Owners count: of stages; files of a context belong to nobody. */
  readonly owners: boolean;
  /** Say which of the matched files are archives. */
  readonly archives: boolean;
}

export interface DigestResult {
  /** Of names, kinds, modes, owners, attributes, link targets and contents; not of times. */
  readonly digest: string;
  readonly files: number;
  readonly bytes: number;
  /** What the sources mean: paths from the root. */
  readonly matched: readonly { readonly path: string; readonly directory: boolean }[];
  /** Indexes of `matched`. */
  readonly archives: readonly number[];
}

/** What becomes of modes: a number, or clauses of chmod's symbolic form. */
export type ModeChange = number | readonly ModeClause[];

export interface ModeClause {
  /** Some of 'ugo'. */
  readonly who: string;
  readonly operator: '+' | '-' | '=';
  /** Some of 'rwxXst'. */
  readonly permissions: string;
}

export interface PlaceJob {
  readonly kind: 'place';
  readonly selection: Selection;
  /** Open root of the file system that is written to. */
  readonly target: number;
  /** Absolute. */
  readonly destination: string;
  /** It ends in a slash, or there are several sources. */
  readonly intoDirectory: boolean;
  /** 'keep': as in the source. */
  readonly owner: { readonly uid: number; readonly gid: number } | 'keep';
  readonly mode: ModeChange | undefined;
  /** Instead of the source's times. */
  readonly timeNs: bigint | undefined;
  /** Of directories that are made on the way. */
  readonly parentOwner: { readonly uid: number; readonly gid: number };
}

/** A kept tree (pkg/archive/kept) as a Worker finds it. Descriptors are the sender's. */
export interface KeptTree {
  /** Says whether an index is one that was read before. */
  readonly generation: string;
  /** Path of the index; its descriptor's. */
  readonly index: string;
  /** What makes it of an index that may be known still. */
  readonly delta: (KeptDelta & { readonly from: string }) | undefined;
  readonly contents: number;
  /** The directory in it that counts as the root; '' is all. */
  readonly subtree: ByteString;
  /** Time of its root, which no archive says. */
  readonly seconds: number;
}

/** As `Selection`, without a directory. */
export type KeptSelection = Omit<Selection, 'root'>;

export interface KeptDigestJob {
  readonly kind: 'kept-digest';
  readonly kept: KeptTree;
  readonly selection: KeptSelection;
}

/** A small file. */
export interface KeptReadJob {
  readonly kind: 'kept-read';
  readonly kept: KeptTree;
  readonly path: string;
  readonly bytesMax: number;
}

/** All that is not ignored, as files. */
export interface KeptFilesJob {
  readonly kind: 'kept-files';
  readonly kept: KeptTree;
  readonly ignore: readonly string[];
  readonly target: number;
}

export interface KeptPlaceJob extends Omit<PlaceJob, 'kind' | 'selection' | 'owner'> {
  readonly kind: 'kept-place';
  readonly kept: KeptTree;
  readonly selection: KeptSelection;
  readonly owner: { readonly uid: number; readonly gid: number };
  /** List of what was placed in the layer that the target shows where it has nothing of its own; '' for none. */
  readonly over: string;
  /** Root of what is below that one; -1 without one. */
  readonly below: number;
  /** Where the list of what the layer has goes. */
  readonly list: string;
}

/** The tar of what a `kept-place` has placed, measured. */
export interface KeptTarJob {
  readonly kind: 'kept-tar';
  readonly list: string;
  readonly contents: number;
  /** Root in which it was placed. */
  readonly root: number;
}

/** An index that was read is not needed soon. */
export interface ForgetJob {
  readonly kind: 'forget';
}

/** `tree`: it takes real files to say. */
export type KeptOutcome<T> = T | 'tree';

export interface FilesResults {
  digest: DigestResult;
  place: undefined;
  'kept-digest': KeptOutcome<DigestResult>;
  'kept-read': KeptOutcome<Uint8Array | undefined>;
  'kept-files': undefined;
  /** `full`: too much differs from the layer that it was to stand over; nothing was changed. */
  'kept-place': KeptOutcome<'placed' | 'full'>;
  'kept-tar': KeptOutcome<ArchiveResult>;
  forget: undefined;
}

export type FilesJob =
  | DigestJob
  | PlaceJob
  | KeptDigestJob
  | KeptReadJob
  | KeptFilesJob
  | KeptPlaceJob
  | KeptTarJob
  | ForgetJob;

export interface FilesMessage {
  readonly job: FilesJob;
  /** One word: not 0 means stop. */
  readonly cancel: SharedArrayBuffer;
}

export type FilesAnswer =
  | { readonly ok: true; readonly result: FilesResults[FilesJob['kind']] }
  | { readonly ok: false; readonly kind: ErrorKind; readonly message: string };

/** The path that is left of a source for `--parents`. */
export function pivoted(source: string, path: ByteString): ByteString {
  const pivot = source.indexOf('/./');
  if (pivot < 0) return path;
  const before = source
    .slice(0, pivot)
    .split('/')
    .filter((name) => name !== '' && name !== '.').length;
  return path.split('/').slice(before).join('/');
}
