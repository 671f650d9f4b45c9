/**
 * Compressed log files: what `path.1` becomes in the background. json-file's are gzip files as dockerd's, the compact
 * format's are zstd. Each begins with a frame that decompressors pass over (an empty gzip member with a comment, a
 * skippable zstd frame) and that holds the key of the content, so that a reader that has the plain file open knows the
 * compressed one for the same.
 */
import { createGunzip, createGzip, createZstdCompress, createZstdDecompress, constants } from 'node:zlib';
import { createReadStream, createWriteStream, utimesSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { close, fstat, open, pread, unlinkat } from '#sys/files.ts';
import { AT, O } from '#sys/numbers.ts';

export type Compression = 'gz' | 'zst';

const KEY_BYTES = 256;
const READ_BYTES = 256 * 1024;
const KEY_DIGITS = 16;
const PREFIX = 'berth-key ';
const GZIP_HEAD = Uint8Array.of(0x1f, 0x8b, 8, 0x10, 0, 0, 0, 0, 0, 0xff);
/** An empty block, its checksum and its length. */
const GZIP_TAIL = Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 0, 0);
const ZSTD_SKIPPABLE = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18);

/** Names the content by its beginning, in which there is a time to the nanosecond. */
export function keyOf(fd: number): string {
  const start = Buffer.alloc(KEY_BYTES);
  const length = pread(fd, start, 0);
  return Bun.hash.xxHash64(start.subarray(0, length)).toString(16).padStart(KEY_DIGITS, '0');
}

/** The key that a compressed file says; '' when it says none. */
export function compressedKey(fd: number): string {
  const start = Buffer.alloc(64);
  const text = start.toString('latin1', 0, pread(fd, start, 0));
  const at = text.indexOf(PREFIX);
  return at < 0 ? '' : text.slice(at + PREFIX.length, at + PREFIX.length + KEY_DIGITS);
}

function leader(compression: Compression, key: string): Buffer {
  const text = Buffer.from(PREFIX + key, 'latin1');
  if (compression === 'gz') return Buffer.concat([GZIP_HEAD, text, Buffer.of(0), GZIP_TAIL]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.concat([ZSTD_SKIPPABLE, length, text]);
}

/**
 * Writes `to` from the file at `from`, off this thread; answers with the content's key. By one descriptor: rotation moves
 * another file to that name any time.
 */
export async function compressFile(from: string, to: string, compression: Compression): Promise<string> {
  const fd = open(from, O.RDONLY | O.NOFOLLOW);
  try {
    const key = keyOf(fd);
    const encoder =
      compression === 'gz'
        ? createGzip({ level: constants.Z_BEST_SPEED })
        : createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } });
    const target = createWriteStream(to, { mode: 0o640 });
    target.write(leader(compression, key));
    await pipeline(contentOf(fd), encoder, target);
    const seconds = Number(fstat(fd).mtimeNs) / 1e9;
    utimesSync(to, seconds, seconds);
    return key;
  } finally {
    close(fd);
  }
}

/** The content of a compressed file in a file without a name, whose descriptor is the caller's. */
export async function decompressed(packed: number, directory: string, compression: Compression): Promise<number> {
  const name = `${directory}/.log-${crypto.randomUUID()}`;
  const fd = open(name, O.RDWR | O.CREAT | O.EXCL | O.NOFOLLOW, 0o600);
  try {
    unlinkat(AT.FDCWD, name);
    const decoder = compression === 'gz' ? createGunzip() : createZstdDecompress();
    await pipeline(contentOf(packed), decoder, createWriteStream('', { fd, autoClose: false }));
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

const contentOf = (fd: number) => createReadStream('', { fd, autoClose: false, start: 0, highWaterMark: READ_BYTES });

export const compressionOf = (driver: 'json-file' | 'local'): Compression => (driver === 'local' ? 'zst' : 'gz');

/** Whether the file at `path` has this inode, or, with a key, this content. */
export function isFile(path: string, ino: string, key?: string): boolean {
  try {
    const fd = open(path, O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
    try {
      // A number is used again for a new file; what stands at its beginning is not.
      return String(fstat(fd).ino) === ino && (key === undefined || keyOf(fd) === key);
    } finally {
      close(fd);
    }
  } catch {
    return false;
  }
}
