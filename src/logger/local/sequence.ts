/** The number that a log's next line has: it goes on over rotation, compression and new daemons. */
import { readFileSync } from 'node:fs';
import { zstdDecompressSync } from 'node:zlib';
import { close, memfdCreate, writeAll } from '#sys/files.ts';
import { compressionOf } from '../compressed.ts';
import { OpenFile } from '../files.ts';
import { type LogFileTarget, rotatedPath } from '../log-file.ts';
import { nextSequence } from './search.ts';

/** The newest file that has anything tells. */
export function sequenceOf(log: Pick<LogFileTarget, 'driver' | 'path' | 'maxFiles'>): number {
  for (let i = 0; i < log.maxFiles; i++) {
    const path = rotatedPath(log.path, i);
    using file = OpenFile.open(path);
    if (file !== undefined && file.size() > 0) return nextSequence(file.fd, file.size());
    if (file === undefined && i > 0) return sequenceOfPacked(`${path}.${compressionOf(log.driver)}`);
  }
  return 0;
}

/** Only just after a rotation and a new start: it is not worth a thread. */
function sequenceOfPacked(path: string): number {
  let bytes: Uint8Array;
  try {
    bytes = zstdDecompressSync(readFileSync(path));
  } catch {
    return 0;
  }
  const fd = memfdCreate('log');
  try {
    writeAll(fd, bytes);
    return nextSequence(fd, bytes.length);
  } finally {
    close(fd);
  }
}
