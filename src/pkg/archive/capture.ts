/**
 * A container's own files as a layer. One walk: every piece of the tar is hashed, written to a file and unpacked, so that
 * the layer's files are what its digest says, also when a container goes on writing meanwhile.
 */
import * as fs from 'node:fs';
import { close, open } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import type { ArchiveResult, CaptureJob } from './jobs.ts';
import { packTree, PIECE_BYTES } from './pack.ts';
import { TarParser, type TarSink } from './parser.ts';
import { type UnpackCounts, Unpacker } from './unpack.ts';

/** Counts without files, where they are unpacked later. */
class Counter implements TarSink, Disposable {
  readonly counts: UnpackCounts = { entries: 0, bytes: 0 };

  entry(): void {
    this.counts.entries += 1;
  }

  data(_chunk: Buffer, start: number, end: number): void {
    this.counts.bytes += end - start;
  }

  end(): void {}

  finish(): void {}

  [Symbol.dispose](): void {}
}

/** `step` is called for every piece; it may throw to stop. The file is the caller's to remove then. */
export function capture(job: CaptureJob, step: () => void): ArchiveResult {
  using opened = new DisposableStack();
  const openDirectory = (path: string, flags: number): number =>
    opened.adopt(open(path, flags | O.DIRECTORY | O.NOFOLLOW), close);
  const root = openDirectory(job.from, O.RDONLY);
  const flags = fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW;
  const file = opened.adopt(fs.openSync(job.file, flags, 0o600), (fd) => fs.closeSync(fd));
  const sink = opened.use(
    job.target === undefined
      ? new Counter()
      : new Unpacker({ root: openDirectory(job.target, O.PATH), whiteouts: 'overlay' }),
  );
  const parser = new TarParser(sink);
  const hash = new Bun.CryptoHasher('sha256');
  // A piece is used up before the one after the next is made.
  const memory = [Buffer.allocUnsafeSlow(PIECE_BYTES), Buffer.allocUnsafeSlow(PIECE_BYTES)];
  let turn = 0;
  let size = 0;
  const pieces = packTree({
    root,
    prefix: '',
    whiteouts: job.whiteouts,
    deleted: job.deleted,
    secondsMax: job.secondsMax,
    wanted: (path) => !job.skip.has(path) && job.only?.has(path) !== false,
    memory: () => memory[turn++ % 2] ?? Buffer.allocUnsafeSlow(PIECE_BYTES),
  });
  for (const piece of pieces) {
    step();
    hash.update(piece);
    for (let at = 0; at < piece.length; ) at += fs.writeSync(file, piece, at);
    parser.push(piece);
    size += piece.length;
  }
  parser.finish();
  sink.finish();
  const diffId = `sha256:${hash.digest('hex')}`;
  return { compression: 'plain', blobDigest: diffId, blobSize: size, diffId, tarSize: size, counts: sink.counts };
}
