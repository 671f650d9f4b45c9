/**
 * One member of a tar archive, independent of the dialect it was written in.
 *
 * Names and link targets are byte strings: JavaScript strings with one character (0–255) per byte. Linux names are bytes,
 * and an archive may hold names that are no UTF-8; decoding them would lose or merge files.
 */
export type ByteString = string;

export type EntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'character' | 'block' | 'fifo';

/** A piece of a sparse file that is stored. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}

export interface TarEntry {
  readonly path: ByteString;
  readonly type: EntryType;
  /** Permission bits with setuid, setgid and sticky: 07777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Logical size of a file; 0 for the rest. */
  readonly size: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  /** Target of a symlink, or the path of the earlier entry that a hard link names; else empty. */
  readonly linkPath: ByteString;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Extended attributes: name → value as it is on disk. */
  readonly xattrs: ReadonlyMap<ByteString, Uint8Array> | undefined;
  /** Stored pieces in order; undefined: all of it. */
  readonly sparse: readonly Extent[] | undefined;
}

export function byteString(text: string): ByteString {
  return isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

export function bytesOf(name: ByteString): Buffer {
  return Buffer.from(name, 'latin1');
}

/** For messages and the API; what is no UTF-8 becomes replacement characters. */
export function textOf(name: ByteString): string {
  return isAscii(name) ? name : Buffer.from(name, 'latin1').toString('utf8');
}

/** Most names are, and mean the same in every encoding then. */
const isAscii = (text: string): boolean => /^[\x00-\x7f]*$/.test(text);
