/**
 * Layers that are being fetched, for everybody who wants them: pulls that want the same layer in the same place share
 * one transfer, which ends when nobody wants it any more. So many run at a time, the others wait in order.
 *
 * What has come of a blob stays (`ContentStore.partial`) when a transfer fails or the daemon dies, and is continued by
 * the next; it goes when the user cancels.
 */
import * as fs from 'node:fs';
import { cancelled, kindOf, systemError } from '#errdefs/errors.ts';
import type { ContentStore } from '#content/content-store.ts';
import type { ContentLease } from '#content/leases.ts';
import type { LayerStore } from '#layer/layer-store.ts';
import type { PreparedLayer } from '#layer/register.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { KeyedQueue } from '#pkg/keyed-queue/keyed-queue.ts';
import type { Repository, Session } from '#registry/registry-client.ts';
import type { TransferBlob } from './transfer-messages.ts';
import type { TransferPool } from './transfer-pool.ts';

export type LayerState =
  /** Nothing to tell yet. */
  | { readonly kind: 'beginning' }
  | { readonly kind: 'waiting' }
  | { readonly kind: 'downloading'; readonly received: number }
  | { readonly kind: 'retrying'; readonly seconds: number }
  | { readonly kind: 'verifying' }
  | { readonly kind: 'downloaded' };

export interface LayerWish {
  /** Place in a stack: the chainId. */
  readonly key: string;
  readonly blob: TransferBlob;
  readonly repository: Repository;
  /** Servers, the first first. */
  readonly sessions: readonly Session[];
}

/** One pull's part in a transfer. */
export interface LayerShare extends AsyncDisposable {
  readonly prepared: Promise<PreparedLayer>;
  /** Where the blob is. */
  file(): string;
  state(): LayerState;
  /** What has come is not to be continued, unless somebody else wants it. */
  drop(): void;
}

export interface LayerTransfersOptions {
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly pool: TransferPool;
  /** How many at a time, as it is configured now. */
  readonly downloadsMax: () => number;
}

interface Fetching {
  readonly stop: AbortController;
  state: () => LayerState;
  file: string;
}

interface Shared extends Fetching {
  readonly prepared: Promise<PreparedLayer>;
  holders: number;
  /** Nobody has to continue it: the user has cancelled. */
  dropped: boolean;
}

export class LayerTransfers {
  readonly #options: LayerTransfersOptions;
  readonly #shared = new Map<string, Shared>();
  /** One at a time writes a blob's file. */
  readonly #byDigest = new KeyedQueue();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: LayerTransfersOptions) {
    this.#options = options;
  }

  /** Takes part in fetching a layer. */
  share(wish: LayerWish): LayerShare {
    const key = `${wish.key} ${wish.blob.digest}`;
    const shared = this.#shared.get(key) ?? this.#begin(key, wish);
    shared.holders += 1;
    let mine = true;
    return {
      prepared: shared.prepared,
      file: () => shared.file,
      state: () => shared.state(),
      drop: () => {
        if (shared.holders === 1) shared.dropped = true;
      },
      [Symbol.asyncDispose]: async () => {
        if (!mine) return;
        mine = false;
        shared.holders -= 1;
        if (shared.holders > 0) return;
        if (this.#shared.get(key) === shared) this.#shared.delete(key);
        shared.stop.abort();
        try {
          await (await shared.prepared)[Symbol.asyncDispose]();
        } catch {
          // It failed, which its holders have heard, or was stopped here.
        }
        if (shared.dropped) this.#options.content.dropPartial(wish.blob.digest);
      },
    };
  }

  /** The archive of a layer alone, into the content store, named by the lease. Errors: those of fetching; cancelled. */
  async bring(wish: LayerWish, lease: ContentLease, signal: AbortSignal | undefined): Promise<void> {
    const { content } = this.#options;
    const { digest } = wish.blob;
    lease.add(digest);
    await this.#byDigest.run(digest, async () => {
      if (content.has(digest)) return;
      const stop = new AbortController();
      const abort = (): void => stop.abort();
      signal?.addEventListener('abort', abort, { once: true });
      const file = content.partial(digest).path;
      const shared: Fetching = { stop, file, state: () => ({ kind: 'beginning' }) };
      await this.#slot(shared, stop.signal);
      try {
        signal?.throwIfAborted();
        await this.#run(wish, shared, content.partial(digest).size, undefined);
        await using handle = await fs.promises.open(file, 'r');
        await handle.sync();
        await content.keep([{ file, digest }], lease);
      } catch (error) {
        if (kindOf(error) === 'data-loss') content.dropPartial(digest);
        throw error;
      } finally {
        signal?.removeEventListener('abort', abort);
        this.#release();
      }
    });
  }

  #begin(key: string, wish: LayerWish): Shared {
    const stop = new AbortController();
    const { promise, resolve, reject } = Promise.withResolvers<PreparedLayer>();
    const shared: Shared = {
      prepared: promise,
      stop,
      state: () => ({ kind: 'beginning' }),
      file: this.#options.content.partial(wish.blob.digest).path,
      holders: 0,
      dropped: false,
    };
    // Whoever shares it hears of the failure; there may be nobody yet.
    promise.catch(() => undefined);
    this.#byDigest.run(wish.blob.digest, () => this.#fetch(wish, shared)).then(resolve, reject);
    this.#shared.set(key, shared);
    return shared;
  }

  async #fetch(wish: LayerWish, shared: Shared): Promise<PreparedLayer> {
    const { content, layers } = this.#options;
    const { digest, size } = wish.blob;
    const { signal } = shared.stop;
    // It came for another place, or is here since before: its place is another, its files are not.
    if (content.has(digest) || content.partial(digest).size === size) {
      shared.file = content.has(digest) ? content.path(digest) : content.partial(digest).path;
      const prepared = await this.#unpackHere(shared, digest, signal);
      if (prepared !== undefined) {
        shared.state = () => ({ kind: 'downloaded' });
        return prepared;
      }
      shared.file = content.partial(digest).path;
    }
    await this.#slot(shared, signal);
    try {
      const had = content.partial(digest).size;
      try {
        return await layers.prepareBy((target) => this.#run(wish, shared, had, target));
      } catch (error) {
        // What was here before may be what is wrong (a power failure): once more from the start.
        if (kindOf(error) !== 'data-loss') throw error;
        content.dropPartial(digest);
        if (had === 0 || signal.aborted) throw error;
        return await layers.prepareBy((target) => this.#run(wish, shared, 0, target));
      }
    } catch (error) {
      if (kindOf(error) === 'data-loss') content.dropPartial(digest);
      throw error;
    } finally {
      this.#release();
    }
  }

  /** Undefined when the file is not what it should be: then it is fetched. */
  async #unpackHere(shared: Shared, digest: string, signal: AbortSignal): Promise<PreparedLayer | undefined> {
    const { content, layers } = this.#options;
    for (const file of new Set([shared.file, content.path(digest)])) {
      if (!fs.existsSync(file)) continue;
      try {
        const prepared = await layers.prepare(file, { signal });
        if (prepared.result.blobDigest === digest) {
          shared.file = file;
          return prepared;
        }
        await prepared[Symbol.asyncDispose]();
      } catch (error) {
        if (kindOf(error) !== 'data-loss' && !isMissing(error)) throw error;
      }
      if (file === content.partial(digest).path) content.dropPartial(digest);
    }
    return undefined;
  }

  async #run(
    { blob, repository, sessions }: LayerWish,
    shared: Fetching,
    have: number,
    target: Parameters<Parameters<LayerStore['prepareBy']>[0]>[0],
  ) {
    const scopes = repository.scopes('pull');
    const { settings } = repository;
    const at = (source: number): Session => {
      const session = sessions[source];
      if (session === undefined) throw systemError(`there is no server ${source}`);
      return session;
    };
    const transfer = this.#options.pool.start(
      {
        blob,
        sources: sessions.map(({ endpoint, authorizer }) => ({ endpoint, authorization: authorizer.current(scopes) })),
        proxies: settings.proxies,
        attemptsMax: settings.attemptsMax,
        rangesFrom: settings.rangesFrom,
        file: shared.file,
        have,
        target,
      },
      {
        authorize: (source, challenge, used) =>
          at(source).authorizer.answer(challenge, scopes, used, shared.stop.signal),
        waiting: (seconds) => {
          const until = Date.now() + seconds * 1000;
          shared.state = () => {
            const left = Math.ceil((until - Date.now()) / 1000);
            return left > 0
              ? { kind: 'retrying', seconds: left }
              : { kind: 'downloading', received: transfer.received() };
          };
        },
        received: () => {
          shared.state = () => ({ kind: 'verifying' });
        },
        signal: shared.stop.signal,
      },
    );
    shared.state = () => ({ kind: 'downloading', received: transfer.received() });
    const result = await transfer.result;
    failpoint('pull.layer-fetched');
    shared.state = () => ({ kind: 'downloaded' });
    return result;
  }

  async #slot(shared: Fetching, signal: AbortSignal): Promise<void> {
    if (this.#running >= this.#options.downloadsMax()) {
      const turn = Promise.withResolvers<void>();
      const go = (): void => turn.resolve();
      const abort = (): void => {
        const at = this.#waiting.indexOf(go);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        turn.reject(cancelled('context canceled'));
      };
      this.#waiting.push(go);
      shared.state = () => ({ kind: 'waiting' });
      signal.addEventListener('abort', abort, { once: true });
      try {
        await turn.promise;
      } finally {
        signal.removeEventListener('abort', abort);
      }
      // Whoever ended has left its place to us.
      return;
    }
    signal.throwIfAborted();
    this.#running += 1;
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running -= 1;
    else next();
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && error.message.includes('ENOENT');
}
