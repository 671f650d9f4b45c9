/**
 * A tree of files kept as two files: contents, one after the other, and an index that says what lies where. Ten thousand
 * files are kept without making one, and what has changed since is found without opening one. Contents are only ever
 * appended to, so an index stays true for whoever has both open.
 */
import * as fs from 'node:fs';
import { dataLoss } from '#errdefs/errors.ts';
import type { ByteString, EntryType } from '../entry.ts';
import { splitLast } from '../names.ts';

export interface KeptEntry {
  /** Clean, from the root. */
  readonly path: ByteString;
  readonly type: EntryType;
  readonly mode: number;
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  readonly size: number;
  /** Of a file, in the contents. */
  readonly offset: number;
  /** SHA-256 of a file's content in hex, computed here; else ''. */
  readonly hash: string;
  readonly linkPath: ByteString;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly xattrs: readonly (readonly [ByteString, string])[] | undefined;
}

/** A directory that no archive has named: above what has come. */
export function plainDirectory(path: string, mtimeSeconds: number): KeptEntry {
  return {
    path,
    type: 'directory',
    mode: 0o755,
    mtimeSeconds,
    mtimeNanoseconds: 0,
    size: 0,
    offset: 0,
    hash: '',
    linkPath: '',
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: undefined,
  };
}

const codes: readonly EntryType[] = ['file', 'directory', 'symlink', 'hardlink', 'character', 'block', 'fifo'];

type Row = readonly [
  path: string,
  type: number,
  mode: number,
  seconds: number,
  nanoseconds: number,
  size: number,
  offset: number,
  hash: string,
  link: string,
  extra: readonly [number, number, readonly (readonly [string, string])[]] | null,
];

/** What makes one tree of another. */
export interface KeptDelta {
  readonly put: readonly KeptEntry[];
  readonly gone: readonly ByteString[];
}

/** Entries that are equal in two trees of one line are one object: whoever knows one knows it in the next tree. */
export class KeptIndex {
  readonly entries: ReadonlyMap<ByteString, KeptEntry>;
  #children: Map<ByteString, readonly KeptEntry[]> | undefined;

  constructor(entries: ReadonlyMap<ByteString, KeptEntry>) {
    this.entries = entries;
  }

  /** Errors: data-loss. */
  static read(file: string): KeptIndex {
    // as: only `write` makes such files, in a directory that is the engine's alone.
    const rows = JSON.parse(fs.readFileSync(file, 'utf8')) as readonly Row[];
    const entries = new Map<ByteString, KeptEntry>();
    for (const [path, code, mode, mtimeSeconds, mtimeNanoseconds, size, offset, hash, linkPath, extra] of rows) {
      const type = codes[code];
      if (type === undefined) throw dataLoss(`the index ${file} is damaged`);
      const [deviceMajor, deviceMinor, xattrs] = extra ?? [0, 0, []];
      entries.set(path, {
        path,
        type,
        mode,
        mtimeSeconds,
        mtimeNanoseconds,
        size,
        offset,
        hash,
        linkPath,
        deviceMajor,
        deviceMinor,
        xattrs: xattrs.length === 0 ? undefined : xattrs,
      });
    }
    return new KeptIndex(entries);
  }

  write(file: string): void {
    const rows: Row[] = [];
    for (const entry of this.entries.values()) {
      const { deviceMajor, deviceMinor, xattrs } = entry;
      const isMore = deviceMajor !== 0 || deviceMinor !== 0 || xattrs !== undefined;
      rows.push([
        entry.path,
        codes.indexOf(entry.type),
        entry.mode,
        entry.mtimeSeconds,
        entry.mtimeNanoseconds,
        entry.size,
        entry.offset,
        entry.hash,
        entry.linkPath,
        isMore ? [deviceMajor, deviceMinor, xattrs ?? []] : null,
      ]);
    }
    fs.writeFileSync(file, JSON.stringify(rows), { mode: 0o600 });
  }

  /** What is in a directory ('' is the root), in byte order. */
  children(directory: ByteString): readonly KeptEntry[] {
    this.#children ??= childrenOf(this.entries.values());
    return this.#children.get(directory) ?? [];
  }

  /** This index stays what it is. */
  changed({ put, gone }: KeptDelta): KeptIndex {
    const entries = new Map(this.entries);
    for (const path of gone) entries.delete(path);
    for (const entry of put) entries.set(entry.path, entry);
    const next = new KeptIndex(entries);
    if (this.#children === undefined) return next;
    next.#children = new Map(this.#children);
    const touched = new Set([...gone, ...put.map(({ path }) => path)].map((path) => splitLast(path)[0]));
    const added = childrenOf(put);
    for (const directory of touched) {
      const own = new Map(this.children(directory).map((entry) => [entry.path, entry]));
      for (const path of own.keys()) if (!entries.has(path)) own.delete(path);
      for (const entry of added.get(directory) ?? []) own.set(entry.path, entry);
      next.#children.set(directory, [...own.values()].sort(byPath));
    }
    return next;
  }
}

const byPath = (a: KeptEntry, b: KeptEntry): number => (a.path < b.path ? -1 : 1);

function childrenOf(entries: Iterable<KeptEntry>): Map<ByteString, KeptEntry[]> {
  const found = new Map<ByteString, KeptEntry[]>();
  for (const entry of entries) {
    if (entry.path === '') continue;
    const [directory] = splitLast(entry.path);
    const children = found.get(directory);
    if (children === undefined) found.set(directory, [entry]);
    else children.push(entry);
  }
  for (const children of found.values()) children.sort(byPath);
  return found;
}

/** Later ones some file systems cannot keep. */
const SECONDS_MAX = 2 ** 33;

/** Files, directories and links without more: what an index and its contents say everything about. */
export function isPlain({ type, xattrs, mtimeSeconds }: KeptEntry): boolean {
  if (mtimeSeconds < 0 || mtimeSeconds > SECONDS_MAX || xattrs !== undefined) return false;
  return type === 'file' || type === 'directory' || type === 'symlink';
}
