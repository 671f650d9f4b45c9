/**
 * Blobs by digest, as an OCI image layout that other tools can read:
 *
 *   <root>/oci-layout, index.json     <root>/blobs/sha256/<hex>     <root>/ingest/<n>  being written, garbage at start
 *
 * A name below `blobs` appears only when its content is on the disk, and small blobs are checked against their digest at
 * every read. Preconditions: one process writes.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { dataLoss, notFound } from '#errdefs/errors.ts';
import { syncDirectory, writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';
import { Ingest, PieceBuffers } from './ingest.ts';

/** `sha256:` and 64 lower-case hex digits. */
const DIGEST = /^sha256:[0-9a-f]{64}$/;

export interface StoredBlob {
  readonly digest: string;
  readonly size: number;
}

export class ContentStore {
  readonly #root: string;
  readonly #blobs: string;
  readonly #ingest: string;
  readonly #buffers = new PieceBuffers();

  private constructor(root: string) {
    this.#root = root;
    this.#blobs = path.join(root, 'blobs', 'sha256');
    this.#ingest = path.join(root, 'ingest');
  }

  /** Makes the layout when missing; removes what was being written when the last process ended. */
  static open(root: string): ContentStore {
    const store = new ContentStore(root);
    fs.mkdirSync(store.#blobs, { recursive: true, mode: 0o710 });
    fs.rmSync(store.#ingest, { recursive: true, force: true });
    fs.mkdirSync(store.#ingest, { mode: 0o700 });
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
    assert(DIGEST.test(digest), `"${digest}" is no sha256 digest`);
    return path.join(this.#blobs, digest.slice('sha256:'.length));
  }

  has(digest: string): boolean {
    return DIGEST.test(digest) && fs.existsSync(this.path(digest));
  }

  /** Reads a small blob whole. Errors: not-found; data-loss when it is not what its digest says. */
  read(digest: string, bytesMax: number): Buffer {
    const bytes = readBounded(this.path(digest), bytesMax);
    if (bytes === undefined) throw notFound(`Cannot read blob "${digest}": there is none`);
    if (digestOf(bytes) !== digest) throw dataLoss(`Cannot read blob "${digest}": its content has changed`);
    return bytes;
  }

  /** Stores a small blob durably. */
  put(bytes: Uint8Array): StoredBlob {
    const digest = digestOf(bytes);
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
   * Keeps sealed files under their digests. Preconditions: the digests are theirs (a Worker has read them), and their
   * content is on the disk (syncfs).
   */
  keep(files: readonly { readonly file: string; readonly digest: string }[]): void {
    for (const { file, digest } of files) {
      if (this.has(digest)) fs.rmSync(file, { force: true });
      else fs.renameSync(file, this.path(digest));
    }
    if (files.length > 0) syncDirectory(this.#blobs);
  }

  /** Idempotent. */
  remove(digest: string): void {
    fs.rmSync(this.path(digest), { force: true });
  }

  list(): string[] {
    return fs
      .readdirSync(this.#blobs)
      .map((name) => `sha256:${name}`)
      .filter((digest) => DIGEST.test(digest));
  }
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

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
