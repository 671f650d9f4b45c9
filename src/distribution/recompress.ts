/**
 * Layers whose tar was kept as it is are compressed when they are first pushed, or as a build wishes: in pieces, each a
 * member (gzip) or frame (zstd) of its own, on the runtime's threads and several at a time. The compressed tar takes the
 * place of the plain one, so it happens once.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import type { ContentStore } from '#content/content-store.ts';
import type { ContentLease } from '#content/leases.ts';
import { cancelled, invalidParameter } from '#errdefs/errors.ts';
import { packAbsent } from '#image/absent-blobs.ts';
import type { LayerStore } from '#layer/layer-store.ts';
import type { LayerBlob } from '#layer/records.ts';

const PIECE_BYTES = 1 << 20;
const AT_ONCE = 4;
/** As Docker's. */
const GZIP_LEVEL = 6;
const ZSTD_LEVEL = 3;
const GZIP_LEVEL_MAX = 9;
const ZSTD_LEVEL_MAX = 22;

// as: of the overloads these are what is called.
const gzip = promisify(zlib.gzip) as (bytes: Uint8Array, options: zlib.ZlibOptions) => Promise<Buffer>;
const zstd = promisify(zlib.zstdCompress) as (bytes: Uint8Array, options: zlib.ZstdOptions) => Promise<Buffer>;

export interface RecompressMeans {
  readonly content: ContentStore;
  readonly layers: LayerStore;
}

export interface CompressOptions {
  readonly signal: AbortSignal | undefined;
  readonly progress: (bytes: number) => void;
  readonly type?: 'gzip' | 'zstd';
  readonly level?: number | undefined;
}

export interface Recompression {
  readonly type: 'gzip' | 'zstd' | 'uncompressed';
  readonly level: number | undefined;
  /** Also what is compressed already. */
  readonly force: boolean;
  /** Of the layer. */
  readonly diffId: string;
}

/** Answers the blob that is kept now. Preconditions: `blob` is plain and leased. Errors: system, cancelled. */
export async function compressBlob(
  means: RecompressMeans,
  blob: LayerBlob,
  lease: ContentLease,
  options: CompressOptions,
): Promise<LayerBlob> {
  await writeAbsent(means, blob, lease, options.signal);
  const compressed = await compress(means, blob, lease, options);
  await means.layers.replaceBlob(blob.digest, compressed);
  means.content.collectSoon();
  return compressed;
}

/** As `wish` says; `blob` itself when that is nothing new. Errors: invalid-parameter for a level; system, cancelled. */
export async function recompressBlob(
  means: RecompressMeans,
  blob: LayerBlob,
  wish: Recompression,
  lease: ContentLease,
  signal: AbortSignal | undefined,
): Promise<LayerBlob> {
  const { type, level, force } = wish;
  const wanted = type === 'uncompressed' ? 'plain' : type;
  checkLevel(wish);
  await writeAbsent(means, blob, lease, signal);
  const isWished = blob.compression === wanted || (blob.compression !== 'plain' && !force);
  if (isWished) return blob;
  const plain = blob.compression === 'plain' ? blob : await inflated(means, blob, wish.diffId, lease, signal);
  const options = { signal, progress: () => undefined, level };
  const made = type === 'uncompressed' ? plain : await compress(means, plain, lease, { ...options, type });
  await means.layers.replaceBlob(blob.digest, made);
  means.content.collectSoon();
  return made;
}

async function writeAbsent(
  means: RecompressMeans,
  { digest }: LayerBlob,
  lease: ContentLease,
  signal: AbortSignal | undefined,
): Promise<void> {
  const layers = means.layers.list().filter(({ blob }) => blob.digest === digest);
  await packAbsent(means, layers, lease, signal);
}

function checkLevel({ type, level }: Recompression): void {
  if (level === undefined) return;
  const max = type === 'zstd' ? ZSTD_LEVEL_MAX : type === 'gzip' ? GZIP_LEVEL_MAX : -1;
  if (!Number.isInteger(level) || level < 0 || level > max) {
    throw invalidParameter(`invalid compression-level ${level} for ${type}`);
  }
}

async function inflated(
  { content, layers }: RecompressMeans,
  blob: LayerBlob,
  diffId: string,
  lease: ContentLease,
  signal: AbortSignal | undefined,
): Promise<LayerBlob> {
  using scratch = content.scratch();
  await layers.inflate(content.path(blob.digest), scratch.path, { signal });
  const { size } = await fs.promises.stat(scratch.path);
  await syncFile(scratch.path);
  // The layer was unpacked of this blob, and its tar checked then.
  await content.keep([{ file: scratch.path, digest: diffId }], lease);
  return { digest: diffId, size, compression: 'plain' };
}

async function compress(
  { content }: RecompressMeans,
  blob: LayerBlob,
  lease: ContentLease,
  { signal, progress, type = 'gzip', level }: CompressOptions,
): Promise<LayerBlob> {
  await using ingest = content.ingest();
  const hash = createHash('sha256');
  const file = await fs.promises.open(content.path(blob.digest), 'r');
  try {
    const ahead: Promise<Buffer>[] = [];
    let read = 0;
    const readOne = async (): Promise<void> => {
      const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, blob.size - read));
      const { bytesRead } = await file.read(piece, 0, piece.length, read);
      read += bytesRead;
      const member = compressPiece(piece.subarray(0, bytesRead), type, level);
      member.catch(() => undefined);
      ahead.push(member);
    };
    do {
      if (signal?.aborted === true) throw cancelled('context canceled');
      while (ahead.length < AT_ONCE && (read < blob.size || read === 0)) await readOne();
      const member = await ahead.shift();
      if (member === undefined) break;
      hash.update(member);
      ingest.write(member);
      await ingest.room();
      progress(Math.min(blob.size, read));
    } while (ahead.length > 0 || read < blob.size);
  } finally {
    await file.close();
  }
  await ingest.seal();
  await syncFile(ingest.path);
  const digest = `sha256:${hash.digest('hex')}`;
  await content.keep([{ file: ingest.path, digest }], lease);
  return { digest, size: ingest.size, compression: type };
}

function compressPiece(piece: Uint8Array, type: 'gzip' | 'zstd', level: number | undefined): Promise<Buffer> {
  if (type === 'gzip') return gzip(piece, { level: level ?? GZIP_LEVEL });
  return zstd(piece, { params: { [zlib.constants.ZSTD_c_compressionLevel]: level ?? ZSTD_LEVEL } });
}

async function syncFile(name: string): Promise<void> {
  const file = await fs.promises.open(name, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
