/**
 * Finds the files that sources mean: wildcards are matched one component at a time, links on the way and at the end of a
 * source are followed inside the root (as Docker does), those below a source are taken as they are.
 */
import { invalidParameter, notFound } from '#errdefs/errors.ts';
import { byteString, type ByteString, textOf } from '#pkg/archive/entry.ts';
import { readNames } from '#pkg/archive/remove-tree.ts';
import { close, fstat, openat, type OwnedFd, ownedFd } from '#sys/files.ts';
import { O, S_IF } from '#sys/numbers.ts';
import { tryOpenInRoot } from '#sys/safe-path.ts';
import type { Ignored } from './ignore.ts';
import { expandPaths, hasWildcards } from './glob.ts';
import type { Selection } from './jobs.ts';

export interface Matched {
  /** The source it was found by. */
  readonly source: string;
  /** From the root, as named, without links resolved; '' for the root itself. */
  readonly path: string;
  /** O_PATH, of what it leads to. */
  readonly fd: OwnedFd;
  readonly directory: boolean;
}

/** Errors: not-found naming the source; invalid-parameter for a bad pattern. Dispose of every descriptor. */
export function select(selection: Selection, ignored: Ignored): Matched[] {
  const found: Matched[] = [];
  try {
    for (const source of selection.sources) {
      const before = found.length;
      const names = clean(source);
      if (!selection.wildcards || !hasWildcards(source)) addOne(selection, source, names.join('/'), found, ignored);
      else
        for (const path of expandPaths(names, (at) => listNames(selection.root, at)) ?? [])
          addOne(selection, source, path, found, ignored, true);
      if (found.length === before && selection.wildcards && hasWildcards(source)) continue;
      if (found.length === before) throw missing(source);
    }
    return found;
  } catch (error) {
    for (const { fd } of found) fd[Symbol.dispose]();
    throw error;
  }
}

export const missing = (source: string) => notFound(`"/${clean(source).join('/')}": not found`);

/** Components of a path; `..` never leads above the root. */
export function clean(path: string): string[] {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue;
    if (name === '..') names.pop();
    else names.push(name);
  }
  return names;
}

function addOne(
  { root }: Selection,
  source: string,
  path: string,
  found: Matched[],
  ignored: Ignored,
  byPattern = false,
): void {
  if (path.includes('\0')) throw invalidParameter(`invalid source path ${JSON.stringify(source)}`);
  const fd = tryOpenInRoot(root, path === '' ? '.' : path, O.PATH);
  if (fd === undefined) {
    // A dangling link that a pattern finds is not what was meant; one that is named is missing.
    if (byPattern) return;
    throw missing(source);
  }
  const owned = ownedFd(fd);
  const directory = (fstat(fd).mode & S_IF.MT) === S_IF.DIR;
  if (path !== '' && !directory && ignored.ignores(path)) {
    owned[Symbol.dispose]();
    if (!byPattern) throw missing(source);
    return;
  }
  found.push({ source, path, fd: owned, directory });
}

function listNames(root: number, path: string): string[] {
  const directory = tryOpenInRoot(root, path === '' ? '.' : path, O.PATH | O.DIRECTORY);
  if (directory === undefined) return [];
  try {
    using open = ownedFd(openat(directory, '.', O.RDONLY | O.DIRECTORY));
    return sortedNames(open.fd).map((entry) => textOf(entry.name));
  } finally {
    close(directory);
  }
}

/** In byte order. */
export function sortedNames(fd: number): { readonly name: ByteString; readonly type: number }[] {
  return readNames(fd).sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

export const asBytes = byteString;
