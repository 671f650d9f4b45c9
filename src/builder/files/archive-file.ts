/** Whether a file is an archive that ADD unpacks: by its bytes, as Docker looks at it. */
import { type Compression, createInflater, detectCompression } from '#pkg/archive/compression.ts';

const BLOCK_BYTES = 512;
const inflated = Buffer.allocUnsafeSlow(256 << 10);

/** `start`: the first bytes of the file; `name` decides where a block of what is compressed does not fit into them. */
export function isArchive(start: Buffer, name: string): boolean {
  const compression = detectCompression(start);
  if (compression === 'plain') return isHeader(start.subarray(0, BLOCK_BYTES));
  // A block of bzip2 is up to 900 kB.
  if (compression === 'bzip2') return /\.(?:tar\.bz2|tbz2?)$/.test(name);
  try {
    return isHeader(inflatedStart(compression, start));
  } catch {
    return /\.(?:tar\.\w+|t[gx]z|tzst)$/.test(name);
  }
}

function inflatedStart(compression: Exclude<Compression, 'plain'>, start: Buffer): Buffer {
  let length = 0;
  const found = Buffer.alloc(BLOCK_BYTES);
  const inflater = createInflater(compression, inflated, (piece) => {
    if (length < BLOCK_BYTES) length += piece.copy(found, length, 0, BLOCK_BYTES - length);
  });
  // The rest of the stream is not there: only what comes out so far counts.
  inflater.push(start);
  return found.subarray(0, length);
}

/** The checksum of a tar header is right. */
function isHeader(block: Buffer): boolean {
  if (block.length < BLOCK_BYTES) return false;
  const stored = Number.parseInt(block.toString('latin1', 148, 156).replaceAll('\0', ' ').trim(), 8);
  let sum = 0;
  for (let at = 0; at < BLOCK_BYTES; at++) sum += at >= 148 && at < 156 ? 32 : (block[at] ?? 0);
  return stored === sum && block[0] !== 0;
}
