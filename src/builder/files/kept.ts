/**
 * Kept trees as sources of COPY: found, recognised and read by their index, without a system call for a file. What takes
 * real files to say (links among the sources, further attributes) is answered by 'tree': the sender makes them.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { byteString, type ByteString, textOf } from '#pkg/archive/entry.ts';
import { type KeptEntry, KeptIndex, plainDirectory } from '#pkg/archive/kept/kept-index.ts';
import { Windows } from '#pkg/archive/kept/receive.ts';
import { splitLast } from '#pkg/archive/names.ts';
import { Unpacker } from '#pkg/archive/unpack.ts';
import { S_IF } from '#sys/numbers.ts';
import { exceptions } from './digest.ts';
import { expandPaths, hasWildcards } from './glob.ts';
import { type Ignored, ignoreRule } from './ignore.ts';
import {
  type DigestResult,
  type KeptDigestJob,
  type KeptFilesJob,
  type KeptOutcome,
  type KeptReadJob,
  type KeptSelection,
  type KeptTree,
  pivoted,
} from './jobs.ts';
import { clean, missing } from './select.ts';

/** The index that was read last: steps of one build ask for the same. */
let last: { readonly generation: string; readonly index: KeptIndex } | undefined;

export function forgetKept(): void {
  last = undefined;
}

function indexOf({ generation, index, delta }: KeptTree): KeptIndex {
  if (last?.generation === generation) return last.index;
  const isNext = delta !== undefined && last?.generation === delta.from;
  last = { generation, index: isNext && last !== undefined ? last.index.changed(delta) : KeptIndex.read(index) };
  return last.index;
}

/** A tree, or the part of one that counts as its root. */
export class KeptView {
  readonly #index: KeptIndex;
  readonly #prefix: ByteString;
  readonly #root: KeptEntry;

  constructor(kept: KeptTree) {
    this.#index = indexOf(kept);
    this.#prefix = kept.subtree;
    const own = kept.subtree === '' ? undefined : this.#index.entries.get(kept.subtree);
    this.#root = own ?? plainDirectory('', kept.seconds);
  }

  /** `path` from the root of the view; '' is the root itself. */
  get(path: ByteString): KeptEntry | undefined {
    return path === '' ? this.#root : this.#index.entries.get(this.#full(path));
  }

  children(directory: ByteString): readonly KeptEntry[] {
    return this.#index.children(this.#full(directory));
  }

  /** From the root of the view. */
  pathOf({ path }: KeptEntry): ByteString {
    return this.#prefix === '' ? path : path.slice(this.#prefix.length + 1);
  }

  #full(path: ByteString): ByteString {
    if (this.#prefix === '') return path;
    return path === '' ? this.#prefix : `${this.#prefix}/${path}`;
  }
}

export interface KeptMatched {
  readonly source: string;
  readonly path: string;
  readonly entry: KeptEntry;
}

/** As `select` of files. Errors: not-found naming the source; invalid-parameter. */
export function selectKept(
  view: KeptView,
  selection: KeptSelection,
  ignored: Ignored,
): KeptOutcome<readonly KeptMatched[]> {
  const found: KeptMatched[] = [];
  for (const source of selection.sources) {
    const names = clean(source);
    if (source.includes('\0')) throw invalidParameter(`invalid source path ${JSON.stringify(source)}`);
    const isPattern = selection.wildcards && hasWildcards(source);
    const paths = isPattern ? expandPaths(names, (at) => namesIn(view, at)) : [names.join('/')];
    if (paths === undefined) return 'tree';
    for (const path of paths) {
      const entry = lookUp(view, path);
      if (entry === 'tree') return 'tree';
      const isFile = entry !== undefined && entry.type !== 'directory';
      if (entry === undefined || (isFile && ignored.ignores(path))) {
        if (isPattern) continue;
        throw missing(source);
      }
      found.push({ source, path, entry });
    }
  }
  return found;
}

function lookUp(view: KeptView, path: string): KeptOutcome<KeptEntry | undefined> {
  const names = path === '' ? [] : path.split('/');
  for (let length = 1; length <= names.length; length++) {
    const entry = view.get(byteString(names.slice(0, length).join('/')));
    if (entry?.type === 'symlink') return 'tree';
    if (length === names.length) return entry;
    if (entry?.type !== 'directory') return undefined;
  }
  return view.get('');
}

/** Undefined where a link has to be followed. */
function namesIn(view: KeptView, path: string): readonly string[] | undefined {
  const entry = lookUp(view, path);
  if (entry === 'tree') return undefined;
  if (entry?.type !== 'directory') return [];
  return view.children(byteString(path)).map((child) => textOf(splitLast(child.path)[1]));
}

export interface KeptVisitor {
  /** `path`: below the source. Directories come before what is in them. */
  visit(path: ByteString, entry: KeptEntry): void;
}

/** All below a directory that is not ignored, in byte order, as `walkBelow` does with files. */
export function walkKept(view: KeptView, source: string, ignored: Ignored, visitor: KeptVisitor): void {
  const from = byteString(source);
  contents(view, from, from === '' ? 0 : from.length + 1, ignored, visitor);
}

/** `cut`: how much of a path is the source's. */
function contents(view: KeptView, directory: ByteString, cut: number, ignored: Ignored, visitor: KeptVisitor): void {
  const counts = ignored.leaves(textOf(directory));
  for (const entry of view.children(directory)) {
    const full = view.pathOf(entry);
    const out = !counts && ignored.ignores(textOf(full));
    if (entry.type !== 'directory') {
      if (!out) visitor.visit(full.slice(cut), entry);
      continue;
    }
    if (!counts && !ignored.enters(textOf(full)) && out) continue;
    const path = full.slice(cut);
    if (!out) visitor.visit(path, entry);
    contents(view, full, cut, ignored, out ? lazily(path, entry, visitor) : visitor);
  }
}

/** Tells of an ignored directory when something in it is not. */
function lazily(path: ByteString, entry: KeptEntry, visitor: KeptVisitor): KeptVisitor {
  let told = false;
  return {
    visit: (below, found) => {
      if (!told) visitor.visit(path, entry);
      told = true;
      visitor.visit(below, found);
    },
  };
}

/** The same digest that the files themselves would have. */
export function digestKept({ kept, selection }: KeptDigestJob): KeptOutcome<DigestResult> {
  const view = new KeptView(kept);
  const matched = selectKept(view, selection, ignoreRule(selection.ignore));
  if (matched === 'tree') return 'tree';
  const all = new Bun.CryptoHasher('sha256');
  let files = 0;
  let bytes = 0;
  let lines = '';
  const add = (path: ByteString, entry: KeptEntry): void => {
    lines += `${path}\0${modeOf(entry).toString(8)}\0${entry.hash}${entry.linkPath}\n`;
    files += 1;
    bytes += entry.size;
    if (lines.length < 1 << 16) return;
    all.update(Buffer.from(lines, 'latin1'));
    lines = '';
  };
  for (const { source, path, entry } of matched) {
    const isDirectory = entry.type === 'directory';
    const bytesOfPath = byteString(path);
    const named = selection.parents ? pivoted(source, bytesOfPath) : isDirectory ? '' : splitLast(bytesOfPath)[1];
    lines += `source\0${isDirectory ? 'directory' : 'file'}\0${named}\n`;
    if (isDirectory) walkKept(view, path, exceptions(selection, { path }), { visit: add });
    else add('', entry);
  }
  all.update(Buffer.from(lines, 'latin1'));
  const result = matched.map(({ path, entry }) => ({ path, directory: entry.type === 'directory' }));
  return { digest: `sha256:${all.digest('hex')}`, files, bytes, matched: result, archives: [] };
}

const kinds = { file: S_IF.REG, directory: S_IF.DIR } as const;

/** As a stat would say it. */
function modeOf({ type, mode }: KeptEntry): number {
  return type === 'file' || type === 'directory' ? kinds[type] | mode : S_IF.LNK;
}

export function readKept({ kept, path, bytesMax }: KeptReadJob): KeptOutcome<Uint8Array | undefined> {
  const entry = lookUp(new KeptView(kept), clean(path).join('/'));
  if (entry === undefined || entry === 'tree') return entry;
  if (entry.type !== 'file') throw invalidParameter(`${JSON.stringify(path)} is not a file`);
  if (entry.size > bytesMax) throw invalidParameter(`${JSON.stringify(path)} is larger than ${bytesMax} bytes`);
  const bytes = new Uint8Array(entry.size);
  forPieces(new Windows(kept.contents), entry, (piece, at) => bytes.set(piece, at));
  return bytes;
}

export function forPieces(
  windows: Windows,
  { offset, size }: Pick<KeptEntry, 'offset' | 'size'>,
  take: (piece: Buffer, at: number) => void,
): void {
  for (let at = 0; at < size; ) {
    const piece = windows.at(offset + at, size - at);
    take(piece, at);
    at += piece.length;
  }
}

/** By the code that unpacks archives: nothing leaves the target. */
export function filesOfKept({ kept, ignore, target }: KeptFilesJob, step: () => void): void {
  const view = new KeptView(kept);
  using unpacker = new Unpacker({
    root: target,
    whiteouts: 'none',
    into: 'replace',
    // Files of a context belong to nobody: COPY says whose they become.
    owner: { uid: 0, gid: 0 },
  });
  const windows = new Windows(kept.contents);
  const written = new Set<ByteString>();
  const skip = kept.subtree === '' ? 0 : kept.subtree.length + 1;
  const visit = (path: ByteString, entry: KeptEntry): void => {
    step();
    const linkPath = entry.type === 'hardlink' ? entry.linkPath.slice(skip) : entry.linkPath;
    const isFile = entry.type === 'file' || (entry.type === 'hardlink' && !written.has(linkPath));
    const xattrs = entry.xattrs?.map(([name, value]) => [name, Buffer.from(value, 'base64')] as const);
    unpacker.entry({
      ...entry,
      path,
      type: isFile ? 'file' : entry.type,
      linkPath: isFile ? '' : linkPath,
      uid: 0,
      gid: 0,
      xattrs: xattrs === undefined ? undefined : new Map(xattrs),
      sparse: undefined,
    });
    if (!isFile) return;
    written.add(path);
    forPieces(windows, entry, (piece, at) => unpacker.data(piece, 0, piece.length, at));
    unpacker.end();
  };
  const later: (() => void)[] = [];
  walkKept(view, '', ignoreRule(ignore), {
    visit: (path, entry) => {
      if (entry.type === 'hardlink') later.push(() => visit(path, entry));
      else visit(path, entry);
    },
  });
  for (const link of later) link();
  unpacker.finish();
}
