/** Messages between files-pool.ts and files-worker.ts. Plain data only; descriptors are numbers of the one process. */
import type { ErrorKind } from '#errdefs/errors.ts';
import type { ByteString } from '#pkg/archive/entry.ts';

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

export type FilesJob = DigestJob | PlaceJob;

export interface FilesMessage {
  readonly job: FilesJob;
  /** One word: not 0 means stop. */
  readonly cancel: SharedArrayBuffer;
}

export type FilesAnswer =
  | { readonly ok: true; readonly result: DigestResult | undefined }
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
