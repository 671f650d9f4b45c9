/**
 * Takes an image archive from a stream: every file in it goes to a file of its own in the content store's ingest
 * directory, so nothing depends on the order inside and nothing large is held in memory. The archive itself may be
 * compressed; inflating happens on the runtime's threads.
 *
 * Names in the archive are only keys of a map here; no path is ever made of one.
 */
import * as fs from 'node:fs';
import { Readable } from 'node:stream';
import zlib from 'node:zlib';
import { BerthError, cancelled, dataLoss, messageOf, systemError } from '#errdefs/errors.ts';
import { type ContentStore, readBounded } from '#content/content-store.ts';
import type { Ingest } from '#content/ingest.ts';
import { detectCompression } from '#pkg/archive/compression.ts';
import type { TarEntry } from '#pkg/archive/entry.ts';
import { cleanPath, splitLast } from '#pkg/archive/names.ts';
import { TarParser, type TarSink } from '#pkg/archive/parser.ts';
import { log } from '#pkg/log/log.ts';

/** 500 layers of the oldest format have three files each; images of one archive share them. */
const FILES_MAX = 20_000;
const LINK_DEPTH_MAX = 10;
/** Files whose last bytes are still on their way. */
const SEALING_MAX = 16;
const MAGIC_LENGTH = 6;
/** Smaller ones are quicker sent again than kept. */
const BEGUN_BYTES_MIN = 64 << 10;

export interface SpooledFile {
  /** In the archive, clean. */
  readonly name: string;
  readonly ingest: { readonly path: string } & AsyncDisposable;
  readonly size: number;
  /** -1 for an empty file, and for one that was here before. */
  readonly firstByte: number;
}

export interface SpoolOptions {
  readonly content: ContentStore;
  /** Inflates a file into a new one, off this thread: for what the runtime has no threads for. */
  readonly inflate: (file: string, to: string, options: { readonly signal?: AbortSignal | undefined }) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
  /** A file is complete. */
  readonly arrived?: (file: SpooledFile) => void;
  /** Blobs that the archive leaves out are taken from the content store. */
  readonly partial?: boolean | undefined;
}

/** The files of an archive; disposing removes those that were not kept. */
export class Spool implements AsyncDisposable {
  readonly #files = new Map<string, SpooledFile>();
  readonly #links = new Map<string, string>();
  readonly #replaced: SpooledFile[] = [];
  readonly #kept: ContentStore | undefined;

  /** `kept`: where blobs are that the archive leaves out. */
  constructor(kept: ContentStore | undefined) {
    this.#kept = kept;
  }

  /** By its name, through links inside the archive. */
  file(name: string): SpooledFile | undefined {
    let current = cleanPath(name);
    for (let depth = 0; depth < LINK_DEPTH_MAX && current !== undefined; depth++) {
      const file = this.#files.get(current);
      if (file !== undefined) return file;
      current = this.#links.get(current);
    }
    return this.#keptFile(name);
  }

  #keptFile(name: string): SpooledFile | undefined {
    const digest = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
    const size = digest === undefined ? undefined : this.#kept?.size(`sha256:${digest}`);
    if (this.#kept === undefined || digest === undefined || size === undefined) return undefined;
    const ingest = { path: this.#kept.path(`sha256:${digest}`), [Symbol.asyncDispose]: () => Promise.resolve() };
    return { name, ingest, size, firstByte: -1 };
  }

  /** A small file's content; undefined when there is none. Errors: data-loss when it is too long. */
  read(name: string, bytesMax: number): Buffer | undefined {
    const file = this.file(name);
    if (file === undefined) return undefined;
    if (file.size > bytesMax) throw dataLoss(`invalid image archive: "${name}" is longer than ${bytesMax} bytes`);
    return readBounded(file.ingest.path, bytesMax);
  }

  files(): readonly SpooledFile[] {
    return [...this.#files.values()];
  }

  names(): string[] {
    return [...this.#files.keys(), ...this.#links.keys()];
  }

  add(file: SpooledFile): void {
    // As with files on a disk, the later one counts.
    const earlier = this.#files.get(file.name);
    if (earlier !== undefined) this.#replaced.push(earlier);
    this.#files.set(file.name, file);
    this.#links.delete(file.name);
    this.#assertFew();
  }

  link(name: string, target: string): void {
    this.#links.set(name, target);
    this.#assertFew();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of [...this.#files.values(), ...this.#replaced]) await file.ingest[Symbol.asyncDispose]();
    this.#files.clear();
  }

  #assertFew(): void {
    if (this.#files.size + this.#links.size > FILES_MAX) {
      throw dataLoss(`invalid image archive: more than ${FILES_MAX} files`);
    }
  }
}

/** Reads the whole archive. Errors: data-loss for what is none or is truncated; cancelled. */
export async function spoolArchive(archive: AsyncIterable<Uint8Array>, options: SpoolOptions): Promise<Spool> {
  await using made = new AsyncDisposableStack();
  const spool = made.use(new Spool(options.partial === true ? options.content : undefined));
  const sink = made.use(new SpoolSink(spool, options));
  const parser = new TarParser(sink);
  try {
    for await (const chunk of inflated(archive, options)) {
      if (options.signal?.aborted === true) throw cancelled('the load was cancelled');
      parser.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      await sink.room();
    }
    parser.finish();
    await sink.settled();
  } catch (error) {
    if (options.partial === true) await sink.keepBegun();
    throw error;
  }
  made.move();
  return spool;
}

/** Writes a stream as it is into one file. Errors: cancelled. */
export async function spoolPlain(
  stream: AsyncIterable<Uint8Array>,
  options: Pick<SpoolOptions, 'content' | 'signal'>,
): Promise<Ingest> {
  await using made = new AsyncDisposableStack();
  const ingest = made.use(options.content.ingest());
  for await (const chunk of stream) {
    if (options.signal?.aborted === true) throw cancelled('the import was cancelled');
    ingest.write(chunk);
    await ingest.room();
  }
  await ingest.seal();
  made.move();
  return ingest;
}

class SpoolSink implements TarSink, AsyncDisposable {
  readonly #spool: Spool;
  readonly #options: SpoolOptions;
  #current: { readonly name: string; readonly ingest: Ingest } | undefined;
  #firstByte = -1;
  /** Files that are complete in the archive and not yet on the disk. */
  readonly #sealing = new Set<Promise<void>>();
  #failure: BerthError | undefined;

  constructor(spool: Spool, options: SpoolOptions) {
    this.#spool = spool;
    this.#options = options;
  }

  entry(entry: TarEntry): void {
    const name = cleanPath(entry.path);
    if (name === undefined) throw dataLoss(`invalid image archive: a name leaves it: ${JSON.stringify(entry.path)}`);
    if (entry.type === 'file') {
      if (name === '' || entry.sparse !== undefined) throw dataLoss('invalid image archive: a file has no plain name');
      this.#current = this.#options.partial === true ? this.#continued(name) : undefined;
      this.#current ??= { name, ingest: this.#options.content.ingest() };
      this.#firstByte = -1;
    } else if (entry.type === 'symlink' || entry.type === 'hardlink') {
      // Old archives name a layer that occurs twice by `../ID/layer.tar`.
      const base = entry.type === 'symlink' && !entry.linkPath.startsWith('/') ? `${splitLast(name)[0]}/` : '';
      const target = cleanPath(`${base}${entry.linkPath}`);
      if (target === undefined) throw dataLoss(`invalid image archive: the link "${name}" leaves it`);
      this.#spool.link(name, target);
    } else if (entry.type !== 'directory') {
      throw dataLoss(`invalid image archive: "${name}" is a ${entry.type}`);
    }
  }

  /** `blobs/sha256/<hex>@<offset>`: the rest of what came before. Errors: data-loss when that is not here any more. */
  #continued(name: string): { readonly name: string; readonly ingest: Ingest } | undefined {
    const [, blob = '', hex = '', offset] = /^(blobs\/sha256\/([0-9a-f]{64}))@([0-9]{1,15})$/.exec(name) ?? [];
    if (offset === undefined) return undefined;
    const ingest = this.#options.content.continue(`sha256:${hex}`, Number(offset));
    if (ingest === undefined) throw dataLoss(`what was sent of blob sha256:${hex} before is not here any more`);
    return { name: blob, ingest };
  }

  /** The sender is gone: what has come of large blobs is kept for when it comes again. */
  async keepBegun(): Promise<void> {
    const { content } = this.#options;
    const current = this.#current;
    await Promise.allSettled([...this.#sealing, current?.ingest.seal()]);
    const files = [
      ...this.#spool.files(),
      ...(current === undefined ? [] : [{ ...current, size: current.ingest.size }]),
    ];
    for (const { name, ingest, size } of files) {
      const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
      if (hex === undefined || size < BEGUN_BYTES_MIN) continue;
      try {
        content.keepBegun(`sha256:${hex}`, { path: ingest.path, size: fs.statSync(ingest.path).size });
      } catch (error) {
        log.debug('what was sent of a blob could not be kept', { digest: hex, err: messageOf(error) });
      }
    }
  }

  data(chunk: Buffer, start: number, end: number): void {
    if (this.#firstByte < 0) this.#firstByte = chunk[start] ?? -1;
    this.#current?.ingest.write(chunk.subarray(start, end));
  }

  end(): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    const { name, ingest } = current;
    const file = { name, ingest, size: ingest.size, firstByte: this.#firstByte };
    this.#spool.add(file);
    const sealing = this.#seal(file, ingest).finally(() => this.#sealing.delete(sealing));
    this.#sealing.add(sealing);
  }

  /** Resolves when there is room for more. Errors: those of the files. */
  async room(): Promise<void> {
    await this.#current?.ingest.room();
    while (this.#sealing.size > SEALING_MAX) await Promise.race(this.#sealing);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Every file is on the disk. */
  async settled(): Promise<void> {
    await Promise.all(this.#sealing);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** The file that was being written when something failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sealing);
    await this.#current?.ingest[Symbol.asyncDispose]();
    this.#current = undefined;
  }

  async #seal(file: SpooledFile, ingest: Ingest): Promise<void> {
    try {
      await ingest.seal();
      this.#options.arrived?.(file);
    } catch (error) {
      this.#failure ??= error instanceof BerthError ? error : systemError(messageOf(error), { cause: error });
    }
  }
}

/** The stream itself, or what it inflates to. */
async function* inflated(archive: AsyncIterable<Uint8Array>, options: SpoolOptions): AsyncGenerator<Uint8Array> {
  const iterator = archive[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  let ended = false;
  while (head.length < MAGIC_LENGTH && !ended) {
    const next = await iterator.next();
    if (next.done === true) ended = true;
    else head = Buffer.concat([head, next.value]);
  }
  const whole = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield head;
      while (!ended) {
        const next = await iterator.next();
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      // The reader may stop early: whoever feeds the stream must hear of it.
      await iterator.return?.();
    }
  };
  const kind = detectCompression(head);
  if (kind === 'plain') {
    yield* whole();
    return;
  }
  if (kind === 'xz' || kind === 'bzip2') {
    yield* inflatedByFile(whole(), options);
    return;
  }
  const inflate = kind === 'gzip' ? zlib.createGunzip() : zlib.createZstdDecompress();
  const source = Readable.from(whole(), { objectMode: false });
  source.on('error', (error) => inflate.destroy(error));
  try {
    for await (const chunk of source.pipe(inflate)) {
      // as: a byte stream in binary mode yields buffers.
      yield chunk as Buffer;
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw dataLoss(`invalid image archive: ${kind}: ${why}`, { cause });
  } finally {
    source.destroy();
  }
}

/** By way of the disk: nothing holds so much, and these formats are rare and slow anyway. */
async function* inflatedByFile(archive: AsyncIterable<Uint8Array>, options: SpoolOptions): AsyncGenerator<Uint8Array> {
  await using packed = await spoolPlain(archive, options);
  const file = `${packed.path}.tar`;
  try {
    await options.inflate(packed.path, file, { signal: options.signal });
    await using handle = await fs.promises.open(file, 'r');
    // The name is not needed any more; the space goes with the descriptor.
    await fs.promises.rm(file);
    for await (const chunk of handle.createReadStream({ highWaterMark: 1 << 20 })) {
      // as: without an encoding it yields buffers.
      yield chunk as Buffer;
    }
  } finally {
    await fs.promises.rm(file, { force: true });
  }
}
