/** Blobs on their way to a registry, several at a time: skipped where it has them, mounted, or uploaded. */
import type { ContentStore } from '#content/content-store.ts';
import type { Descriptor } from '#content/descriptor.ts';
import { barMessage, type Tell } from '#image/progress.ts';
import { hasBlob } from '#registry/blobs.ts';
import type { Repository, Session } from '#registry/registry-client.ts';
import { mountBlob, uploadBlob } from '#registry/uploads.ts';
import type { BlobSources } from './blob-sources.ts';
import type { ProgressMessage } from '#api/types/image.ts';

const EVERY_MS = 100;
const MOUNTS_MAX = 3;

export interface BlobPusherOptions {
  readonly repository: Repository;
  readonly session: Session;
  readonly content: ContentStore;
  readonly sources: BlobSources;
  readonly tell: Tell;
  readonly signal: AbortSignal | undefined;
}

export interface PushBlob {
  readonly descriptor: Descriptor;
  /** As shown; undefined: nothing is told of it. */
  readonly id: string | undefined;
}

export class BlobPusher {
  readonly #options: BlobPusherOptions;
  readonly #done = new Set<string>();
  readonly #shown = new Map<string, number>();

  constructor(options: BlobPusherOptions) {
    this.#options = options;
  }

  /** A bar, ten times a second at most. */
  show(message: ProgressMessage): void {
    const id = message.id ?? '';
    const now = Date.now();
    if ((this.#shown.get(id) ?? 0) + EVERY_MS > now) return;
    this.#shown.set(id, now);
    this.#options.tell(message).catch(() => undefined);
  }

  /** All of them; the first failure ends it when those under way have ended. */
  async push(blobs: readonly PushBlob[]): Promise<void> {
    const waiting = [...blobs];
    const { uploadsMax } = this.#options.repository.settings;
    for (const { id } of waiting.slice(uploadsMax)) await this.#status(id, 'Waiting');
    let failed = false;
    const one = async (): Promise<void> => {
      for (let blob = waiting.shift(); blob !== undefined && !failed; blob = waiting.shift()) {
        try {
          await this.#pushOne(blob);
        } catch (error) {
          failed = true;
          throw error;
        }
      }
    };
    const workers = Array.from({ length: Math.max(1, uploadsMax) }, one);
    const settled = await Promise.allSettled(workers);
    for (const outcome of settled) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** Whether the repository has all of these, or takes them from another; then nothing is pushed of them. */
  async areThere(blobs: readonly Descriptor[]): Promise<boolean> {
    const { repository, session } = this.#options;
    for (const { digest } of blobs) {
      if (this.#done.has(digest)) continue;
      if (!(await hasBlob(repository, digest, session)) && (await this.#mount(digest)) !== 'mounted') return false;
      this.#done.add(digest);
    }
    return true;
  }

  /** From another repository; else where an upload may begin, if one did. */
  async #mount(digest: string, id?: string): Promise<'mounted' | { readonly location: string | undefined }> {
    const { repository, session, sources, content } = this.#options;
    const others = sources.of(repository.domain, digest).filter((path) => path !== repository.path);
    for (const from of others.slice(0, MOUNTS_MAX)) {
      const { mounted, location } = await mountBlob(repository, session, digest, from);
      if (mounted) {
        await this.#status(id, `Mounted from ${from}`);
        return 'mounted';
      }
      // Where nothing else is known of it, the hint is worth more than this refusal.
      if (content.has(digest)) sources.forget(`${repository.domain}/${from}`, digest);
      if (location !== undefined) return { location };
    }
    return { location: undefined };
  }

  async #pushOne({ descriptor, id }: PushBlob): Promise<void> {
    const { repository, session, content } = this.#options;
    const { digest, size } = descriptor;
    if (this.#done.has(digest) || (await hasBlob(repository, digest, session))) {
      this.#done.add(digest);
      await this.#status(id, 'Layer already exists');
      return;
    }
    const mount = await this.#mount(digest, id);
    if (mount === 'mounted') {
      this.#done.add(digest);
      return;
    }
    const { location } = mount;
    const file = Bun.file(content.path(digest));
    const source = { digest, size, slice: (start: number, end: number) => file.slice(start, end) };
    await uploadBlob(repository, session, source, {
      location,
      progress: (bytes) => {
        if (id !== undefined) this.show(barMessage('Pushing', id, bytes, size));
      },
    });
    this.#done.add(digest);
    await this.#status(id, 'Pushed');
  }

  async #status(id: string | undefined, status: string): Promise<void> {
    if (id !== undefined) await this.#options.tell({ status, progressDetail: {}, id });
  }
}
