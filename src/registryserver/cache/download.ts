/**
 * One blob on its way from upstream to the store, read by any number of clients while it grows. Clients never get the
 * end of it before its digest was found right: a lying upstream makes a broken connection, not a wrong layer.
 *
 * The download goes on when its clients go away, because the next one will ask again; a broken connection to the
 * upstream is taken up where it broke, some times.
 */
import { algorithmOf } from '#content/digest.ts';
import * as fs from 'node:fs';
import type { ContentStore } from '#content/content-store.ts';
import { messageOf } from '#errdefs/errors.ts';
import { PieceWriter } from '../piece-writer.ts';
import { isMissing, keepSound } from '../uploads.ts';
import { UpstreamFailure, type Upstream, type UpstreamAsk } from './upstream.ts';

const ATTEMPTS_MAX = 4;
const READ_BYTES = 256 << 10;
/** Kept from clients until the digest is known to be right. */
const HELD_BACK_BYTES = 64 << 10;
/** Without a byte from upstream. */
const STALL_MS = 60_000;

export interface DownloadOptions {
  readonly upstream: Upstream;
  readonly path: string;
  readonly digest: string;
  readonly content: ContentStore;
  readonly bytesMax: number;
  readonly signal: AbortSignal;
  /** Runs in the turn in which the blob is kept. */
  readonly kept: () => void;
}

export class Download {
  /** Resolves when the blob is kept. Never rejects: `failure` tells. */
  readonly done: Promise<void>;
  readonly started: Promise<void>;
  readonly #options: DownloadOptions;
  readonly #file: { readonly path: string } & Disposable;
  #size: number | undefined;
  #written = 0;
  #isKept = false;
  #failure: Error | undefined;
  #wake = Promise.withResolvers<void>();
  readonly #begun = Promise.withResolvers<void>();

  constructor(options: DownloadOptions) {
    this.#options = options;
    this.#file = options.content.scratch();
    this.started = this.#begun.promise;
    this.done = this.#run();
  }

  /** Of the whole blob, once `started`; undefined when upstream does not say. */
  get size(): number | undefined {
    return this.#size;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  /** From the beginning. The descriptor is its own, so the file may be renamed or removed meanwhile. */
  stream(): ReadableStream<Uint8Array> {
    let handle: fs.promises.FileHandle | undefined;
    let at = 0;
    const close = async (): Promise<void> => {
      await handle?.close();
      handle = undefined;
    };
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            const end = await this.#readableFrom(at);
            if (at >= end) {
              await close();
              controller.close();
              return;
            }
            handle ??= await this.#open();
            const wanted = Math.min(READ_BYTES, end - at);
            const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(wanted), 0, wanted, at);
            at += bytesRead;
            controller.enqueue(buffer.subarray(0, bytesRead));
          } catch (error) {
            await close();
            controller.error(error);
          }
        },
        cancel: close,
      },
      { highWaterMark: 0 },
    );
  }

  /** It has its place below `blobs` once it is kept. */
  async #open(): Promise<fs.promises.FileHandle> {
    const { content, digest } = this.#options;
    try {
      return await fs.promises.open(this.#file.path, 'r');
    } catch (error) {
      if (!isMissing(error)) throw error;
      return fs.promises.open(content.path(digest), 'r');
    }
  }

  /** Up to where it may be read; waits while there is nothing new. */
  async #readableFrom(at: number): Promise<number> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const end = this.#isKept ? this.#written : this.#written - HELD_BACK_BYTES;
      if (end > at || this.#isKept) return end;
      await this.#wake.promise;
    }
  }

  #tell(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  async #run(): Promise<void> {
    try {
      await this.#fetch();
      this.#isKept = true;
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(messageOf(error));
    } finally {
      this.#file[Symbol.dispose]();
      this.#begun.resolve();
      this.#tell();
    }
  }

  async #fetch(): Promise<void> {
    const { content, digest, kept } = this.#options;
    const hasher = new Bun.CryptoHasher(algorithmOf(digest));
    await using handle = await fs.promises.open(this.#file.path, 'wx', 0o600);
    const writer = new PieceWriter(handle, 0, hasher, (end) => {
      this.#written = end;
      this.#tell();
    });
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#receive(writer);
        break;
      } catch (error) {
        const again = error instanceof UpstreamFailure && error.kind === 'unreachable' && attempt < ATTEMPTS_MAX;
        if (!again || this.#options.signal.aborted) throw error;
      }
    }
    await writer.flush();
    const actual = `${algorithmOf(digest)}:${hasher.digest('hex')}`;
    if (actual !== digest) throw new UpstreamFailure('unreachable', `the upstream sent ${actual} for blob ${digest}`);
    await handle.sync();
    keepSound(content, this.#file.path, digest, writer.end);
    kept();
  }

  /** From where the file ends to the end of the blob. */
  async #receive(writer: PieceWriter): Promise<void> {
    const { upstream, path, digest, bytesMax, signal } = this.#options;
    using stall = new Stall(signal);
    const ask: UpstreamAsk = { path, signal: stall.signal };
    const before = writer.end;
    const blob = await upstream.blob(ask, digest, before);
    this.#size ??= blob.size;
    const limit = Math.min(bytesMax, this.#size ?? bytesMax);
    if ((blob.size ?? 0) > bytesMax)
      throw new UpstreamFailure('refused', `blob ${digest} is larger than ${bytesMax} bytes`);
    this.#begun.resolve();
    let skip = before - blob.offset;
    const body = blob.body[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await nextOf(body);
        if (next.done === true) break;
        stall.moved();
        const fresh = next.value.subarray(Math.min(skip, next.value.length));
        skip -= next.value.length - fresh.length;
        if (writer.end + fresh.length > limit) {
          throw new UpstreamFailure('refused', `blob ${digest} is longer than ${limit} bytes`);
        }
        await writer.write(fresh);
      }
    } finally {
      await body.return?.().catch(() => undefined);
    }
    if (this.#size !== undefined && writer.end < this.#size) {
      throw new UpstreamFailure('unreachable', `the upstream ended after ${writer.end} of ${this.#size} bytes`);
    }
  }
}

/** Only what the upstream does is its failure; that of our disk is another. */
async function nextOf(body: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
  try {
    return await body.next();
  } catch (error) {
    if (error instanceof UpstreamFailure) throw error;
    throw new UpstreamFailure('unreachable', `the upstream broke off: ${messageOf(error)}`, { cause: error });
  }
}

/** Aborts when nothing has moved for a while, or the outer signal does. */
class Stall implements Disposable {
  readonly signal: AbortSignal;
  readonly #own = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(outer: AbortSignal) {
    this.signal = AbortSignal.any([outer, this.#own.signal]);
    this.moved();
  }

  moved(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#own.abort(new Error('the upstream has stalled')), STALL_MS);
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
