/** Writes the members of an image archive; times are zero, so that the same images make the same bytes. */
import * as fs from 'node:fs';
import zlib from 'node:zlib';
import { cancelled, dataLoss } from '#errdefs/errors.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from '#pkg/archive/writer.ts';

const READ_BYTES = 1 << 20;

export interface ArchiveSink {
  readonly write: (bytes: Uint8Array) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

export class ArchiveOutput {
  readonly #input: ArchiveSink;

  constructor(input: ArchiveSink) {
    this.#input = input;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#input.signal?.aborted === true) throw cancelled('the save was cancelled');
    await this.#input.write(bytes);
  }

  async directory(name: string): Promise<void> {
    await this.write(formatEntry(plainEntry(name, { type: 'directory' })));
  }

  async file(name: string, bytes: Buffer): Promise<void> {
    const header = formatEntry(plainEntry(name, { type: 'file', size: bytes.length }));
    await this.write(Buffer.concat([header, bytes, Buffer.alloc(padding(bytes.length))]));
  }

  /** A blob from its file, which is zstd of what is wanted when `inflate` says so. */
  async blob(
    name: string,
    blob: { digest: string; size: number; file: string; inflate: boolean },
    from = 0,
  ): Promise<void> {
    const rest = blob.size - from;
    if (from > 0 && rest >= 0)
      await this.write(formatEntry(plainEntry(`${name}@${from}`, { type: 'file', size: rest })));
    else await this.write(formatEntry(plainEntry(name, { type: 'file', size: blob.size })));
    const skipped = rest >= 0 ? from : 0;
    let size = 0;
    for await (const piece of blob.inflate ? inflatedFile(blob.file) : pieces(blob.file, skipped)) {
      const start = blob.inflate ? Math.min(piece.length, Math.max(0, skipped - size)) : 0;
      size += piece.length;
      if (start < piece.length) await this.write(start === 0 ? piece : piece.subarray(start));
    }
    if (!blob.inflate) size += skipped;
    if (size !== blob.size) throw dataLoss(`the kept blob ${blob.digest} has ${size} bytes, not ${blob.size}`);
    if (padding(size - skipped) > 0) await this.write(Buffer.alloc(padding(size - skipped)));
  }

  async end(): Promise<void> {
    await this.write(endOfArchive);
  }
}

async function* pieces(file: string, from: number): AsyncGenerator<Uint8Array> {
  await using handle = await fs.promises.open(file, 'r');
  for (let at = from; ; ) {
    // A fresh buffer each time: the reader may hold on to it.
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function* inflatedFile(file: string): AsyncGenerator<Uint8Array> {
  const source = fs.createReadStream(file);
  const inflate = zlib.createZstdDecompress();
  source.on('error', (error) => inflate.destroy(error));
  try {
    for await (const chunk of source.pipe(inflate)) {
      // as: a byte stream in binary mode yields buffers.
      yield chunk as Buffer;
    }
  } finally {
    source.destroy();
  }
}
