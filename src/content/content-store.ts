/**
 * Blobs by digest, as an OCI image layout that other tools can read:
 *
 *   <root>/oci-layout, index.json     <root>/blobs/<algorithm>/<hex> <root>/ingest/<n>    being written, garbage at start
 *   <root>/leases/<name>              <root>/partial/<hex>          what has come of a blob, to be continued by a pull
 *                                     <root>/partial/<hex>.sent     … by whoever sends it again (begun, continue)
 *   <root>/trash/<n>                  collected, being deleted
 *
 * A name below `blobs` appears only when its content is on the disk, and small blobs are checked against their digest at
 * every read. A blob is kept while a root (`addRoots`: images, a registry's repositories, a build cache …) or a lease
 * names it; the rest goes some time after `collectSoon`. Looking and taking away are one synchronous step, so that what
 * a lease names before an await is there after it. Preconditions: one process writes.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { dataLoss, messageOf, notFound } from '#errdefs/errors.ts';
import { syncDirectory, syncDirectoryAside, writeFileAtomic, writeFileAside } from '#pkg/atomicfile/atomicfile.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import { decodeManifest, type Index, type Manifest, MANIFEST_BYTES_MAX } from './descriptor.ts';
import { Ingest, PieceBuffers } from './ingest.ts';
import { type Algorithm, algorithmOf, digestOf, hexOf, isBlobDigest, ofHex } from './digest.ts';
import { type ContentLease, type LeaseOptions, Leases } from './leases.ts';

/** Manifests and indexes that stay decoded, and how long one of them may be. */
const DOCUMENTS_MAX = 2048;
const DOCUMENT_BYTES_KEPT = 16 << 10;
/** Deleting is left until the work that made the garbage is over. */
const COLLECT_AFTER_MS = 500;
/** What was sent in part waits so long for the rest. */
const BEGUN_KEPT_MS = 24 * 3600 * 1000;

export interface StoredBlob {
  readonly digest: string;
  readonly size: number;
}

export interface SealedFile {
  readonly file: string;
  readonly digest: string;
}

/** Tells every digest that is needed; synchronous. */
export type Roots = (mark: (digest: string) => void) => void;

export interface Collected {
  readonly digests: readonly string[];
  readonly bytes: number;
}

export class ContentStore {
  readonly #root: string;
  readonly #blobs: Readonly<Record<Algorithm, string>>;
  readonly #ingest: string;
  readonly #partial: string;
  readonly #trash: string;
  readonly #buffers = new PieceBuffers();
  readonly #leases: Leases;
  readonly #roots: Roots[] = [];
  readonly #documents = new Map<string, Manifest | Index>();
  #collectTimer: NodeJS.Timeout | undefined;
  #deleting: Promise<void> = Promise.resolve();

  private constructor(root: string, now: () => number) {
    this.#root = root;
    const blobs = path.join(root, 'blobs');
    this.#blobs = { sha256: path.join(blobs, 'sha256'), sha512: path.join(blobs, 'sha512') };
    this.#ingest = path.join(root, 'ingest');
    this.#partial = path.join(root, 'partial');
    this.#trash = path.join(root, 'trash');
    for (const directory of [...Object.values(this.#blobs), this.#partial])
      fs.mkdirSync(directory, { recursive: true, mode: 0o710 });
    for (const directory of [this.#ingest, this.#trash]) {
      fs.rmSync(directory, { recursive: true, force: true });
      fs.mkdirSync(directory, { mode: 0o700 });
    }
    for (const directory of Object.values(this.#blobs)) {
      for (const name of fs.readdirSync(directory)) {
        if (name.startsWith('.tmp-')) fs.rmSync(path.join(directory, name), { force: true });
      }
    }
    this.#leases = Leases.open(path.join(root, 'leases'), now);
  }

  /** Makes the layout when missing; removes what was being written when the last process ended. */
  static open(root: string, options: { readonly now?: () => number } = {}): ContentStore {
    const store = new ContentStore(root, options.now ?? Date.now);
    const layout = path.join(root, 'oci-layout');
    if (!fs.existsSync(layout)) writeFileAtomic(layout, '{"imageLayoutVersion":"1.0.0"}', { mode: 0o644 });
    const index = path.join(root, 'index.json');
    if (!fs.existsSync(index)) writeFileAtomic(index, '{"schemaVersion":2,"manifests":[]}', { mode: 0o644 });
    return store;
  }

  get root(): string {
    return this.#root;
  }

  path(digest: string): string {
    assert(isBlobDigest(digest), `"${digest}" is no digest of a blob`);
    return path.join(this.#blobs[algorithmOf(digest)], hexOf(digest));
  }

  has(digest: string): boolean {
    return isBlobDigest(digest) && fs.existsSync(this.path(digest));
  }

  /** Reads a small blob whole. Errors: not-found; data-loss when it is not what its digest says. */
  read(digest: string, bytesMax: number): Buffer {
    const bytes = readBounded(this.path(digest), bytesMax);
    if (bytes === undefined) throw notFound(`Cannot read blob "${digest}": there is none`);
    if (digestOf(bytes, algorithmOf(digest)) !== digest)
      throw dataLoss(`Cannot read blob "${digest}": its content has changed`);
    return bytes;
  }

  /** Undefined when there is no such blob. */
  size(digest: string): number | undefined {
    if (!isBlobDigest(digest)) return undefined;
    return fs.statSync(this.path(digest), { throwIfNoEntry: false })?.size;
  }

  /** A manifest or index; undefined when it is not here. Errors: data-loss when it is none. */
  document(digest: string): Manifest | Index | undefined {
    const known = this.#documents.get(digest);
    if (known !== undefined) return known;
    if (!this.has(digest)) return undefined;
    const bytes = this.read(digest, MANIFEST_BYTES_MAX);
    const document = decodeManifest(bytes);
    if (bytes.length > DOCUMENT_BYTES_KEPT) return document;
    if (this.#documents.size >= DOCUMENTS_MAX) this.#documents.clear();
    this.#documents.set(digest, document);
    return document;
  }

  /** Stores a small blob durably; the disk is not waited for on this thread. */
  async put(bytes: Uint8Array, lease: ContentLease, algorithm?: Algorithm): Promise<StoredBlob> {
    const digest = digestOf(bytes, algorithm);
    lease.add(digest);
    if (!this.has(digest)) await writeFileAside(this.path(digest), bytes, { mode: 0o600 });
    return { digest, size: bytes.length };
  }

  /** As `put`, before it returns. Preconditions: a lease names it, or something is recorded before the next await. */
  putNow(bytes: Uint8Array, lease?: ContentLease): StoredBlob {
    const digest = digestOf(bytes);
    lease?.add(digest);
    if (!this.has(digest)) writeFileAtomic(this.path(digest), bytes, { mode: 0o600 });
    return { digest, size: bytes.length };
  }

  /** A file below `ingest`, to be written and then kept under its digest or dropped. */
  ingest(): Ingest {
    return new Ingest(path.join(this.#ingest, randomBytes(8).toString('hex')), this.#buffers);
  }

  /** A name for a file that somebody else writes; it is removed at the end unless it was kept. */
  scratch(): { readonly path: string } & Disposable {
    const file = path.join(this.#ingest, randomBytes(8).toString('hex'));
    return { path: file, [Symbol.dispose]: () => fs.rmSync(file, { force: true }) };
  }

  /**
   * Where the beginning of a blob is kept that is on its way: whoever goes on fetching it appends to the file and then
   * gives it to `keep`. It lasts as long as a lease names the digest. `size` is 0 when there is nothing yet.
   */
  partial(digest: string): { readonly path: string; readonly size: number } {
    assert(isBlobDigest(digest), `"${digest}" is no digest of a blob`);
    const file = path.join(this.#partial, hexOf(digest));
    return { path: file, size: fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0 };
  }

  /** Bytes of a blob that came before the connection to their sender broke; 0 for none. */
  begun(digest: string): number {
    return fs.statSync(this.#begun(digest), { throwIfNoEntry: false })?.size ?? 0;
  }

  /**
   * Keeps what has come of a blob for a sender who comes again, for some time. Nothing says that it is right: whoever
   * goes on with it checks the whole. Preconditions: the file is sealed.
   */
  keepBegun(digest: string, file: { readonly path: string; readonly size: number }): void {
    if (this.has(digest) || this.begun(digest) >= file.size) return;
    using lease = this.#leases.take({ purpose: 'sent in part', key: `sent ${digest}`, keepMs: BEGUN_KEPT_MS });
    lease.add(digest);
    fs.renameSync(file.path, this.#begun(digest));
  }

  /** What was begun, to be gone on with; undefined when that is not so many bytes. */
  continue(digest: string, size: number): Ingest | undefined {
    if (size === 0 || this.begun(digest) !== size) return undefined;
    const file = path.join(this.#ingest, randomBytes(8).toString('hex'));
    fs.renameSync(this.#begun(digest), file);
    using lease = this.#leases.take({ purpose: 'sent in part', key: `sent ${digest}`, keepMs: BEGUN_KEPT_MS });
    lease.done();
    return new Ingest(file, this.#buffers, size);
  }

  #begun(digest: string): string {
    return `${this.partial(digest).path}.sent`;
  }

  /** What has come was wrong: the next attempt begins anew. Idempotent. */
  dropPartial(digest: string): void {
    fs.rmSync(this.partial(digest).path, { force: true });
  }

  /** Keeps blobs from being collected; see leases.ts. Always with `using`. */
  lease(options: LeaseOptions): ContentLease {
    return this.#leases.take(options);
  }

  /** A further owner of blobs. To be called before the first collection: what no owner names goes. */
  addRoots(roots: Roots): void {
    this.#roots.push(roots);
  }

  /** Collects when the work under way has settled; many calls are one collection. */
  collectSoon(): void {
    if (this.#collectTimer !== undefined) return;
    this.#collectTimer = setTimeout(() => {
      this.#collectTimer = undefined;
      try {
        this.collect();
      } catch (error) {
        log.error('the content store could not be collected', { err: messageOf(error) });
      }
    }, COLLECT_AFTER_MS);
    this.#collectTimer.unref();
  }

  /**
   * Takes away every blob that nothing names, and what is left of downloads that nobody continues. The files are deleted
   * by another thread afterwards (`deleted`).
   */
  collect(): Collected {
    assert(this.#roots.length > 0, 'somebody owns blobs');
    const needed = new Set<string>();
    const mark = (digest: string): void => void needed.add(digest);
    for (const roots of this.#roots) roots(mark);
    this.#leases.mark(mark);
    const gone: string[] = [];
    let bytes = 0;
    const batch = path.join(this.#trash, randomBytes(8).toString('hex'));
    const away = (file: string): number => {
      if (gone.length === 0) fs.mkdirSync(batch, { recursive: true });
      const { size } = fs.statSync(file);
      fs.renameSync(file, path.join(batch, path.basename(file)));
      return size;
    };
    for (const digest of this.list()) {
      if (needed.has(digest)) continue;
      bytes += away(this.path(digest));
      gone.push(digest);
      this.#documents.delete(digest);
    }
    for (const name of fs.readdirSync(this.#partial)) {
      if (!needed.has(ofHex(name.replace(/\.sent$/, '')))) fs.rmSync(path.join(this.#partial, name), { force: true });
    }
    if (gone.length > 0) {
      failpoint('content.collected');
      this.#deleting = this.#delete(batch);
      log.debug('collected blobs', { count: gone.length, bytes });
    }
    return { digests: gone, bytes };
  }

  /** Everything that was collected is off the disk. */
  deleted(): Promise<void> {
    return this.#deleting;
  }

  /** What was to be collected is left to the next start. */
  close(): Promise<void> {
    clearTimeout(this.#collectTimer);
    this.#collectTimer = undefined;
    return this.#deleting;
  }

  async #delete(batch: string): Promise<void> {
    await this.#deleting;
    try {
      await fs.promises.rm(batch, { recursive: true, force: true });
    } catch (error) {
      log.warn('collected blobs could not be deleted; the next start tries again', { err: messageOf(error) });
    }
  }

  /**
   * Keeps sealed files under their digests. Preconditions: the digests are theirs (a Worker has read them), and their
   * content is on the disk (syncfs).
   */
  async keep(files: readonly SealedFile[], lease: ContentLease): Promise<void> {
    for (const { digest } of files) lease.add(digest);
    this.#rename(files);
    for (const directory of this.#directoriesOf(files)) await syncDirectoryAside(directory);
  }

  /** As `keep`, before it returns. Preconditions: as those of `putNow`. */
  keepNow(files: readonly SealedFile[]): void {
    this.#rename(files);
    for (const directory of this.#directoriesOf(files)) syncDirectory(directory);
  }

  #directoriesOf(files: readonly SealedFile[]): ReadonlySet<string> {
    return new Set(files.map(({ digest }) => this.#blobs[algorithmOf(digest)]));
  }

  #rename(files: readonly SealedFile[]): void {
    for (const { file, digest } of files) {
      if (this.has(digest)) fs.rmSync(file, { force: true });
      else fs.renameSync(file, this.path(digest));
    }
  }

  /** Of a damaged blob; others are collected. Idempotent. */
  remove(digest: string): void {
    this.#documents.delete(digest);
    fs.rmSync(this.path(digest), { force: true });
  }

  list(): string[] {
    return Object.entries(this.#blobs).flatMap(([algorithm, directory]) =>
      fs
        .readdirSync(directory)
        .map((name) => `${algorithm}:${name}`)
        .filter(isBlobDigest),
    );
  }
}

export { digestOf } from './digest.ts';

/** Undefined when there is no such file. Errors: data-loss when it is longer. */
export function readBounded(file: string, bytesMax: number): Buffer | undefined {
  let fd: number;
  try {
    fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = fs.fstatSync(fd);
    if (size > bytesMax) throw dataLoss(`Cannot read "${path.basename(file)}": it is longer than ${bytesMax} bytes`);
    return fs.readFileSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
