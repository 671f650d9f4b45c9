/**
 * Small files of the host by path: /proc, cgroups, state of our own. In place of node:fs, whose module alone costs a cold
 * process a millisecond. Every function throws SysError. Never for a path that a container or an image can influence
 * (safe-path.ts).
 */
import { call } from './call.ts';
import { isErrno } from './errno.ts';
import { close, getdents, mkdirat, open, openat, readAll, unlinkat, writeAll } from './files.ts';
import { AT, NR, O } from './numbers.ts';
import { realPathOf } from './safe-path.ts';

const utf8 = new TextEncoder();
const text = new TextDecoder('utf-8', { ignoreBOM: true });

export function readText(path: string): string {
  const fd = open(path, O.RDONLY);
  try {
    return text.decode(readAll(fd));
  } finally {
    close(fd);
  }
}

/** One write(2) of the whole text, to a file that exists (cgroups and /proc take one value a call and ignore O_TRUNC). */
export function writeValue(path: string, value: string): void {
  const fd = open(path, O.WRONLY | O.TRUNC);
  try {
    writeAll(fd, utf8.encode(value));
  } finally {
    close(fd);
  }
}

/** Makes or replaces a file. */
export function writeText(path: string, content: string, mode = 0o666): void {
  const fd = open(path, O.WRONLY | O.CREAT | O.TRUNC, mode);
  try {
    writeAll(fd, utf8.encode(content));
  } finally {
    close(fd);
  }
}

/** To a stream that may be closed or full. */
export function writeStream(fd: number, content: string): void {
  writeAll(fd, utf8.encode(content));
}

/** Whether there is something at `path`, links followed. */
export function exists(path: string): boolean {
  return call(NR.faccessat2, AT.FDCWD, path, 0, 0) === 0;
}

export function makeDirectory(path: string, mode: number): void {
  mkdirat(AT.FDCWD, path, mode);
}

/** With the parents that are missing. */
export function makeDirectories(path: string, mode: number): void {
  try {
    makeDirectory(path, mode);
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return;
    if (!isErrno(error, 'ENOENT')) throw error;
    makeDirectories(parentOf(path), mode);
    makeDirectory(path, mode);
  }
}

export function removeDirectory(path: string): void {
  unlinkat(AT.FDCWD, path, AT.REMOVEDIR);
}

/** A file that may be gone already. */
export function removeFile(path: string): void {
  try {
    unlinkat(AT.FDCWD, path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}

const DT_DIRECTORY = 4;

/** Names in a directory; `directories` tells those that are directories themselves. */
export function listDirectory(path: string): { readonly names: string[]; readonly directories: string[] } {
  const fd = openat(AT.FDCWD, path, O.RDONLY | O.DIRECTORY);
  try {
    const entries = getdents(fd);
    return {
      names: entries.map(({ name }) => name),
      directories: entries.filter(({ type }) => type === DT_DIRECTORY).map(({ name }) => name),
    };
  } finally {
    close(fd);
  }
}

/** Without links, `.` and `..`. */
export function realPath(path: string): string {
  const fd = open(path, O.PATH);
  try {
    return realPathOf(fd);
  } finally {
    close(fd);
  }
}

/** '/a' of '/a/b', '/' of '/a'. Preconditions: absolute, no slash at the end. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}

/** `path` seen from `from`, absolute, without '.' and '..' (links are not looked at). Preconditions: `from` is absolute. */
export function resolvePath(from: string, path: string): string {
  const parts: string[] = [];
  for (const part of (path.startsWith('/') ? path : `${from}/${path}`).split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}
