/** Walks what was selected, in byte order, by descriptors; nothing below a source follows a link. */
import { readLink } from '#pkg/archive/attributes.ts';
import { kernelName } from '#pkg/archive/directories.ts';
import { type ByteString, textOf } from '#pkg/archive/entry.ts';
import { close, type FileStatus, openat, statxAt } from '#sys/files.ts';
import { isErrno } from '#sys/errno.ts';
import { O, S_IF } from '#sys/numbers.ts';
import type { Ignored } from './ignore.ts';
import { sortedNames } from './select.ts';

export interface Visited {
  /** Below the source; '' for the source itself. */
  readonly path: ByteString;
  readonly status: FileStatus;
  /** Of the directory that holds it; for the source itself a descriptor of it and an empty name. */
  readonly directory: number;
  readonly name: ByteString;
}

export interface Visitor {
  /** Directories come before what is in them. */
  visit(entry: Visited): void;
  /** What is in the directory is done. */
  leave?(entry: Visited): void;
  step(): void;
}

const DIRECTORY_FLAGS = O.RDONLY | O.DIRECTORY | O.NOFOLLOW;

/** All below the directory `fd` (O_PATH), not itself. `base`: its path from the root, for `ignored`. */
export function walkBelow(fd: number, base: string, ignored: Ignored, visitor: Visitor): void {
  const open = openat(fd, '.', DIRECTORY_FLAGS);
  try {
    contents(open, '', base, ignored, visitor);
  } finally {
    close(open);
  }
}

function contents(fd: number, prefix: ByteString, base: string, ignored: Ignored, visitor: Visitor): void {
  for (const { name } of sortedNames(fd)) {
    visitor.step();
    const bytes = kernelName(name);
    const status = look(fd, bytes);
    if (status === undefined) continue;
    const path = prefix + name;
    const directory = (status.mode & S_IF.MT) === S_IF.DIR;
    const full = base === '' ? textOf(path) : `${base}/${textOf(path)}`;
    const out = ignored.ignores(full);
    if (!directory) {
      if (!out) visitor.visit({ path, status, directory: fd, name });
      continue;
    }
    const entry = { path, status, directory: fd, name };
    if (out && !ignored.enters(full)) continue;
    if (!out) ignored.enters(full);
    // What is in an ignored directory may be wanted again (`!dir/file`): the directory comes with the first that is.
    if (!out) visitor.visit(entry);
    const below = openat(fd, bytes, DIRECTORY_FLAGS);
    try {
      if (out) contents(below, `${path}/`, base, ignored, lazily(entry, visitor));
      else contents(below, `${path}/`, base, ignored, visitor);
    } finally {
      close(below);
    }
    if (!out) visitor.leave?.(entry);
  }
}

/** Tells of the directory when something in it is visited. */
function lazily(directory: Visited, visitor: Visitor): Visitor {
  let told = false;
  return {
    visit: (entry) => {
      if (!told) visitor.visit(directory);
      told = true;
      visitor.visit(entry);
    },
    leave: (entry) => visitor.leave?.(entry),
    step: () => visitor.step(),
  };
}

function look(fd: number, name: Uint8Array): FileStatus | undefined {
  try {
    return statxAt(fd, name);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

export const linkTarget = (directory: number, name: ByteString): ByteString => readLink(directory, kernelName(name));
