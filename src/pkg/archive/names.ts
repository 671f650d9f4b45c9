/** Names inside an archive: made clean, and told apart from those that would leave the tree. Pure. */
import type { ByteString } from './entry.ts';

/** Linux refuses longer paths. */
const PATH_LENGTH_MAX = 4096;
const NAME_LENGTH_MAX = 255;

export const WHITEOUT_PREFIX = '.wh.';
export const OPAQUE_MARKER = '.wh..wh..opq';
/** AUFS's own notes; they are no files of the layer. */
export const META_PREFIX = '.wh..wh.';

/**
 * The path from the root without `.`, `..`, doubled and outer slashes; '' is the root itself. Undefined when it leaves the
 * root, has a NUL, or is longer than a path can be. As Go's filepath.Clean after taking a leading slash as the root.
 */
export function cleanPath(path: ByteString): ByteString | undefined {
  if (path.length > PATH_LENGTH_MAX || path.includes('\0')) return undefined;
  const absolute = path.startsWith('/');
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue;
    if (name !== '..') {
      if (name.length > NAME_LENGTH_MAX) return undefined;
      names.push(name);
    } else if (names.pop() === undefined && !absolute) return undefined;
  }
  return names.join('/');
}

/** [directory, last name] of a clean path. */
export function splitLast(path: ByteString): [ByteString, ByteString] {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? ['', path] : [path.slice(0, slash), path.slice(slash + 1)];
}

/** What a whiteout hides; undefined when that is no name of a file (`.wh.`, `.wh..`, `.wh...`). */
export function whiteoutTarget(name: ByteString): ByteString | undefined {
  const target = name.slice(WHITEOUT_PREFIX.length);
  return target === '' || target === '.' || target === '..' ? undefined : target;
}
