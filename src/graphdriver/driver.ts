/**
 * A graph driver keeps layered file systems below one directory.
 *
 * Vocabulary: a *layer directory* has an id (64 hex digits or `<id>-init`), a parent or none, and a difference. A
 * read-only one is filled once through `diffTarget` and sealed by `commit`; a read-write one is a container's.
 * A *mount* is a detached mount (open_tree descriptor, in no mount table); it is gone with its last descriptor.
 *
 * Who cleans up: the caller closes mount descriptors and removes ids; `remove` of an id that has a live mount is the
 * caller's mistake. What a failure leaves: temporary names (`tmp-…`), which `sweep` removes at start-up.
 */
export interface LayerMount extends Disposable {
  /** Descriptor of the detached mount's root. */
  readonly fd: number;
}

export interface MountOptions {
  /** User namespace whose maps the files get: on the disk they keep the ids of inside. */
  readonly usernsFd?: number;
}

export interface DiffTarget extends AsyncDisposable {
  /** Directory into which the layer's files are unpacked (whiteouts already in the driver's own form). */
  readonly path: string;
  /** 'overlay': char 0:0 and trusted.overlay.opaque; 'apply': the directory holds the parent's files, delete for real. */
  readonly whiteouts: 'overlay' | 'apply';
  /**
   * Renames into place: the layer exists afterwards, durably only once `GraphDriver.sync` has returned (one for many
   * layers; record them after it). Without commit, disposing removes what was written. `parent` may be given here when
   * it was not known before, unless the driver has `needsParentFirst`. Errors: not-found when the parent is missing.
   */
  commit(parent?: string): Promise<void>;
}

export interface Change {
  /** Absolute path in the container. */
  readonly path: string;
  /** 0 modified, 1 added, 2 deleted (the API's numbers). */
  readonly kind: 0 | 1 | 2;
}

export interface GraphDriver {
  readonly name: 'overlay' | 'vfs';
  /** Where it keeps its layers. */
  readonly home: string;
  /** A layer is unpacked onto its parent's files, so the parent must exist before; else layers come in any order. */
  readonly needsParentFirst: boolean;
  /** Rows for `/info` DriverStatus. */
  status(): [string, string][];
  /** Starts a read-only layer. Errors: conflict when `id` exists. */
  diffTarget(id: string, parent: string | undefined): Promise<DiffTarget>;
  /**
   * Makes a container's read-write layer. `made` is told of every directory in which its files will lie, new and empty:
   * what it sets on them (a quota) holds for all that is written.
   */
  createReadWrite(id: string, parent: string | undefined, made?: (directory: string) => void): Promise<void>;
  /** A read-write layer becomes a read-only one as it is. Preconditions: no mount of it is open. */
  seal(id: string): void;
  /**
   * Puts a read-only layer onto another parent, whose files are the same, with `over` between them. Live mounts keep the
   * old one.
   */
  rebase(id: string, parent: string | undefined, over?: string): void;
  /**
   * Read-only mount of what a read-only layer brings, and of what `over` brings where it brings nothing; not of what is
   * below. Errors: not-implemented where a layer's directory has its parent's files.
   */
  mountOwn(id: string, over: string | undefined): LayerMount;
  exists(id: string): boolean;
  /** All ids, for reconciling with the records. */
  list(): string[];
  /** Whether the id was made by `createReadWrite`. */
  isReadWrite(id: string): boolean;
  /** Everything committed so far reaches the disk (syncfs, off the main thread). */
  sync(): Promise<void>;
  /** Moves a read-write layer that nobody knows to `directory` instead of deleting what a program may have fsynced. */
  setAside(id: string, directory: string): void;
  /**
   * Detached mount of the merged view; read-only layers are mounted read-only. While a mount of a read-write id is live,
   * further calls give descriptors of the same mount: two overlays over one upper directory are undefined (whoever asks
   * with other maps while one is live is refused: conflict). Errors: invalid-parameter when the maps cannot be had here.
   */
  mount(id: string, options?: MountOptions): LayerMount;
  /** Removes the id: it goes to a trash directory at once and is deleted later, never while layers are being made. */
  remove(id: string): Promise<void>;
  /** Bytes of the id's own difference (apparent size of regular files, hard links once). */
  diffSize(id: string, signal?: AbortSignal): Promise<number>;
  /** What differs from the parent. */
  changes(id: string): Promise<Change[]>;
  /** Where the read-write layer's own files lie (vfs: all of them). */
  directory(id: string): string;
  /** Directory of the read-write layer's own files, for inspect's GraphDriver.Data. */
  metadata(id: string): Record<string, string>;
  /** Removes temporary names and finishes pending deletes; called once at start-up. */
  sweep(): Promise<void>;
  /** Deletes what was removed now instead of later: the room is needed. */
  emptyTrash(): Promise<void>;
  close(): Promise<void>;
}
