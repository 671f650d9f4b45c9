/**
 * Layers whose tar was kept as it is are compressed when they are first pushed: in pieces, each a member of its own, on
 * the runtime's threads and several at a time. The compressed tar takes the place of the plain one, so it happens once.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import type { ContentStore } from '#content/content-store.ts';
import type { ContentLease } from '#content/leases.ts';
import { cancelled } from '#errdefs/errors.ts';
import type { LayerStore } from '#layer/layer-store.ts';
import type { LayerBlob } from '#layer/records.ts';

const PIECE_BYTES = 1 << 20;
const AT_ONCE = 4;
/** As Docker's. */
const LEVEL = 6;

const gzip = promisify(zlib.gzip) as (bytes: Uint8Array, options: zlib.ZlibOptions) => Promise<Buffer>;

export interface RecompressMeans {
  readonly content: ContentStore;
  readonly layers: LayerStore;
}

/** Answers the blob that is kept now. Preconditions: `blob` is plain and leased. Errors: system, cancelled. */
export async function compressBlob(
  { content, layers }: RecompressMeans,
  blob: LayerBlob,
  lease: ContentLease,
  options: { readonly signal: AbortSignal | undefined; readonly progress: (bytes: number) => void },
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
      const member = gzip(piece.subarray(0, bytesRead), { level: LEVEL });
      member.catch(() => undefined);
      ahead.push(member);
    };
    do {
      if (options.signal?.aborted === true) throw cancelled('context canceled');
      while (ahead.length < AT_ONCE && (read < blob.size || read === 0)) await readOne();
      const member = await ahead.shift();
      if (member === undefined) break;
      hash.update(member);
      ingest.write(member);
      await ingest.room();
      options.progress(Math.min(blob.size, read));
    } while (ahead.length > 0 || read < blob.size);
  } finally {
    await file.close();
  }
  await ingest.seal();
  await syncFile(ingest.path);
  const digest = `sha256:${hash.digest('hex')}`;
  const compressed: LayerBlob = { digest, size: ingest.size, compression: 'gzip' };
  await content.keep([{ file: ingest.path, digest }], lease);
  layers.replaceBlob(blob.digest, compressed);
  content.collectSoon();
  return compressed;
}

async function syncFile(name: string): Promise<void> {
  const file = await fs.promises.open(name, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
