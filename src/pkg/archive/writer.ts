/**
 * Writes tar headers: plain ustar where everything fits, PAX records before it where not. Deterministic: the same
 * entry gives the same bytes. The caller writes the contents and `padding(size)` zeros after it, and `endOfArchive` last.
 */
import assert from 'node:assert/strict';
import { byteString, type ByteString, type EntryType, type TarEntry } from './entry.ts';
import { BLOCK, formatHeader, octalMax } from './header.ts';
import { formatPax } from './pax.ts';

const flags: Readonly<Record<EntryType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

/** Two zero blocks. */
export const endOfArchive: Uint8Array = new Uint8Array(2 * BLOCK);

/** Zeros after contents of `size` bytes. */
export function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/** What most entries written by us have in common. */
export function plainEntry(path: string, fields: Partial<TarEntry> & Pick<TarEntry, 'type'>): TarEntry {
  return {
    path: byteString(path),
    mode: fields.type === 'directory' ? 0o755 : 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    linkPath: '',
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: undefined,
    sparse: undefined,
    ...fields,
  };
}

/** The header blocks of an entry. A directory's name gets its slash. Sparse files are written whole. */
export function formatEntry(entry: TarEntry): Buffer {
  assert(entry.path !== '' && !entry.path.includes('\0'), 'an entry has a name');
  const path = entry.type === 'directory' && !entry.path.endsWith('/') ? `${entry.path}/` : entry.path;
  const size = entry.type === 'file' ? entry.size : 0;
  const records: { key: ByteString; value: Buffer }[] = [];
  const record = (key: ByteString, value: string): void => {
    records.push({ key, value: Buffer.from(value, 'latin1') });
  };
  const numeric = (key: string, value: number, width: number): number => {
    if (value >= 0 && value <= octalMax(width)) return value;
    record(key, String(value));
    return 0;
  };
  const [prefix, name] = splitName(path);
  if (name === undefined) record('path', path);
  if (entry.linkPath.length > 100 || !isAscii(entry.linkPath)) record('linkpath', entry.linkPath);
  const uid = numeric('uid', entry.uid, 8);
  const gid = numeric('gid', entry.gid, 8);
  const sizeField = numeric('size', size, 12);
  let mtime = entry.mtimeSeconds;
  if (entry.mtimeNanoseconds !== 0 || mtime < 0 || mtime > octalMax(12)) {
    record('mtime', formatTime(mtime, entry.mtimeNanoseconds));
    mtime = Math.min(Math.max(mtime, 0), octalMax(12));
  }
  for (const [key, value] of entry.xattrs ?? []) {
    records.push({ key: `SCHILY.xattr.${key}`, value: Buffer.from(value) });
  }
  const header = formatHeader({
    name: name ?? asciiOnly(path).slice(0, 100),
    prefix,
    mode: entry.mode & 0o7777,
    uid,
    gid,
    size: sizeField,
    mtime,
    flag: flags[entry.type],
    linkName: (isAscii(entry.linkPath) ? entry.linkPath : asciiOnly(entry.linkPath)).slice(0, 100),
    deviceMajor: entry.deviceMajor,
    deviceMinor: entry.deviceMinor,
  });
  if (records.length === 0) return header;
  // Sorted as Go's writer does, so that equal entries give equal bytes whatever order their attributes were read in.
  records.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  const body = formatPax(records);
  const extended = formatHeader({
    name: paxHeaderName(path),
    prefix: '',
    mode: 0,
    uid: 0,
    gid: 0,
    size: body.length,
    mtime: 0,
    flag: 'x',
    linkName: '',
    deviceMajor: 0,
    deviceMinor: 0,
  });
  return Buffer.concat([extended, body, Buffer.alloc(padding(body.length)), header]);
}

/** `dir/PaxHeaders.0/base`, shortened: only readers that know no PAX see it. */
function paxHeaderName(path: ByteString): string {
  const clean = asciiOnly(path.replace(/\/+$/, ''));
  const slash = clean.lastIndexOf('/');
  return `${clean.slice(0, slash + 1)}PaxHeaders.0/${clean.slice(slash + 1)}`.slice(0, 100);
}

/** [prefix, name] of ustar; name undefined: it does not fit or is not ASCII. */
function splitName(path: ByteString): [ByteString, ByteString | undefined] {
  if (!isAscii(path)) return ['', undefined];
  if (path.length <= 100) return ['', path];
  if (path.length > 256) return ['', undefined];
  const slash = path.lastIndexOf('/', Math.min(155, path.length - 2));
  if (slash <= 0 || path.length - slash - 1 > 100) return ['', undefined];
  return [path.slice(0, slash), path.slice(slash + 1)];
}

function formatTime(seconds: number, nanoseconds: number): string {
  if (nanoseconds === 0) return String(seconds);
  const negative = seconds < 0;
  const whole = negative ? -(seconds + 1) : seconds;
  const rest = negative ? 1_000_000_000 - nanoseconds : nanoseconds;
  return `${negative ? '-' : ''}${whole}.${String(rest).padStart(9, '0').replace(/0+$/, '')}`;
}

const isAscii = (text: string): boolean => /^[\u0000-\u007f]*$/.test(text);
const asciiOnly = (text: string): string => text.replace(/[^\u0020-\u007e]/g, '_');
