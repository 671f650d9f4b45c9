/**
 * Reading and writing blobs for the handlers: manifests from memory when they are asked for often, everything else from
 * its file by the runtime's sendfile.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ContentStore } from '#content/content-store.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { keepSound } from './uploads.ts';

const MANIFESTS_BYTES_MAX = 64 << 20;

export class BlobStore {
  readonly content: ContentStore;
  readonly #manifests = new Map<string, Buffer>();
  #manifestBytes = 0;

  constructor(content: ContentStore) {
    this.content = content;
  }

  /** Undefined when there is no such file. */
  sizeOf(digest: string): number | undefined {
    return fs.statSync(this.content.path(digest), { throwIfNoEntry: false })?.size;
  }

  /** Errors: not-found, data-loss when it is not what its digest says. */
  manifest(digest: string, size: number): Buffer {
    const known = this.#manifests.get(digest);
    if (known !== undefined) return known;
    const bytes = this.content.read(digest, size);
    this.#manifests.set(digest, bytes);
    this.#manifestBytes += bytes.length;
    for (const [oldest, old] of this.#manifests) {
      if (this.#manifestBytes <= MANIFESTS_BYTES_MAX) break;
      this.#manifests.delete(oldest);
      this.#manifestBytes -= old.length;
    }
    return bytes;
  }

  /** Writes a small blob without holding up the loop; `record` runs in the same turn in which it is kept. */
  async put(bytes: Uint8Array, digest: string, record: () => void): Promise<void> {
    const file = path.join(this.content.root, 'ingest', `${randomBytes(8).toString('hex')}.manifest`);
    try {
      const handle = await fs.promises.open(file, 'wx', 0o600);
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      keepSound(this.content, file, digest, bytes.length);
      failpoint('registry.manifest-written');
      record();
      failpoint('registry.manifest-recorded');
    } finally {
      fs.rmSync(file, { force: true });
    }
  }

  remove(digest: string): void {
    const bytes = this.#manifests.get(digest);
    if (bytes !== undefined) {
      this.#manifests.delete(digest);
      this.#manifestBytes -= bytes.length;
    }
    this.content.remove(digest);
  }
}
