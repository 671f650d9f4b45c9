/**
 * Digest and size of the tar of what a COPY has placed, from the list and the kept contents: nobody reads the files
 * back, and nobody writes the tar. It is the very tar that packing the layer's directories gives: `tarOfPlaced` and
 * `packTree` agree byte for byte, and whoever packs it later checks that.
 */
import { kernelName } from '#pkg/archive/directories.ts';
import { textOf } from '#pkg/archive/entry.ts';
import type { ArchiveResult } from '#pkg/archive/jobs.ts';
import { Windows } from '#pkg/archive/kept/receive.ts';
import { xattrsOf } from '#pkg/archive/pack.ts';
import { endOfArchive, formatEntry, padding } from '#pkg/archive/writer.ts';
import { close, fstat } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { openInRoot } from '#sys/safe-path.ts';
import type { KeptOutcome, KeptTarJob } from './jobs.ts';
import { forPieces } from './kept.ts';
import { findList, isSamePlaced, type Placed } from './placed-list.ts';

const PIECE_BYTES = 1 << 20;

/** The digest up to here, of the last tar. */
interface Checkpoint {
  readonly row: number;
  readonly size: number;
  readonly hash: Bun.CryptoHasher;
}

interface Measured {
  readonly rows: readonly Placed[];
  /** Of directories. */
  readonly headers: ReadonlyMap<number, Buffer>;
  readonly checkpoints: readonly Checkpoint[];
}

const CHECKPOINT_BYTES = 8 << 20;

/** The next tar mostly begins as the last one did: what is equal is not hashed again. */
let last: Measured | undefined;
/** Headers of files and links, which are the same objects in the next list where they are as before. */
let known = new WeakMap<Placed, Buffer>();

export function forgetTar(): void {
  last = undefined;
  known = new WeakMap();
}

/** 'tree': the list is not known any more. */
export function measureTar({ list, contents, root }: KeptTarJob, step: () => void): KeptOutcome<ArchiveResult> {
  const rows = findList(list);
  if (rows === undefined) return 'tree';
  const headers = new Map<number, Buffer>();
  for (const [index, one] of rows.entries()) if (isDirectory(one)) headers.set(index, headerOf(one, root));
  const equal = last === undefined ? 0 : equalRows(last, rows, headers);
  const checkpoints = last?.checkpoints.filter(({ row }) => row <= equal) ?? [];
  const from = checkpoints.at(-1);
  const hash = from?.hash.copy() ?? new Bun.CryptoHasher('sha256');
  const windows = new Windows(contents);
  let size = from?.size ?? 0;
  let next = size + CHECKPOINT_BYTES;
  let told = size;
  const add = (bytes: Uint8Array): void => {
    hash.update(bytes);
    size += bytes.length;
    if (size - told < PIECE_BYTES) return;
    told = size;
    step();
  };
  let bytes = 0;
  for (const [index, one] of rows.entries()) {
    bytes += one.size;
    if (index < (from?.row ?? 0)) continue;
    if (size >= next) {
      checkpoints.push({ row: index, size, hash: hash.copy() });
      next = size + CHECKPOINT_BYTES;
    }
    add(headers.get(index) ?? knownHeader(one, root));
    if (one.kind !== 'file') continue;
    forPieces(windows, one, add);
    const rest = padding(one.size);
    if (rest > 0) add(zeros.subarray(0, rest));
  }
  add(endOfArchive);
  last = { rows, headers, checkpoints };
  const diffId = `sha256:${hash.digest('hex')}`;
  return {
    compression: 'plain',
    blobDigest: diffId,
    blobSize: size,
    diffId,
    tarSize: size,
    counts: { entries: rows.length, bytes },
  };
}

const isDirectory = ({ kind }: Placed): boolean => kind === 'directory' || kind === 'parent';

function equalRows(before: Measured, rows: readonly Placed[], headers: ReadonlyMap<number, Buffer>): number {
  for (const [index, one] of rows.entries()) {
    const old = before.rows[index];
    if (old === undefined || old.path !== one.path) return index;
    if (isDirectory(one)) {
      const header = headers.get(index);
      if (header === undefined || before.headers.get(index)?.equals(header) !== true) return index;
    } else if (old !== one && !isSamePlaced(old, one)) return index;
  }
  return rows.length;
}

const zeros = Buffer.alloc(512);

function knownHeader(one: Placed, root: number): Buffer {
  let header = known.get(one);
  if (header === undefined) {
    header = headerOf(one, root);
    known.set(one, header);
  }
  return header;
}

/** Directories are what the file system says: some were there before. */
function headerOf(one: Placed, root: number): Buffer {
  const common = { path: one.path, mtimeNanoseconds: 0, deviceMajor: 0, deviceMinor: 0, sparse: undefined } as const;
  if (one.kind === 'file' || one.kind === 'symlink') {
    return formatEntry({
      ...common,
      type: one.kind,
      mode: one.mode,
      uid: one.uid,
      gid: one.gid,
      size: one.size,
      mtimeSeconds: one.seconds,
      linkPath: one.link,
      xattrs: undefined,
    });
  }
  const fd = openInRoot(root, textOf(one.path), O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  try {
    const { mode, uid, gid, mtimeNs } = fstat(fd);
    return formatEntry({
      ...common,
      type: 'directory',
      mode: mode & 0o7777,
      uid,
      gid,
      size: 0,
      mtimeSeconds: Number(mtimeNs / 1_000_000_000n),
      linkPath: '',
      xattrs: xattrsOf(kernelName(`/proc/self/fd/${fd}/.`)),
    });
  } finally {
    close(fd);
  }
}
