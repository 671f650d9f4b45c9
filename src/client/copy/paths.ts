/**
 * Which file is meant, by docker's rules for `cp`: what a trailing `/` or `/.` says, where a link leads, and what a copy
 * is called at its destination. Text and look-ups only; nothing is copied here.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';

export interface CopyArgument {
  /** '' for a path of this machine. */
  readonly container: string;
  readonly path: string;
}

/** `CONTAINER:PATH`; what begins with `/` or `.`, or has no colon, is local. */
export function parseArgument(argument: string): CopyArgument {
  const colon = argument.indexOf(':');
  if (argument.startsWith('/') || argument.startsWith('.') || colon < 0) return { container: '', path: argument };
  return { container: argument.slice(0, colon), path: argument.slice(colon + 1) };
}

const endsInDot = (text: string): boolean => text === '.' || text.endsWith('/.');

/** `clean` with the ending of `original` that means something. */
export function keepEnding(clean: string, original: string): string {
  const slashed = clean.endsWith('/') ? clean : `${clean}/`;
  if (endsInDot(original)) return endsInDot(clean) ? clean : `${slashed}.`;
  return original.endsWith('/') ? slashed : clean;
}

export function absolutePath(local: string): string {
  return keepEnding(path.resolve(local), local);
}

/** [directory, last name]; the last name of `dir/.` is `.`. */
export function splitEntry(text: string): readonly [directory: string, name: string] {
  const clean = path.normalize(text).replace(/(?<=.)\/$/, '');
  if (endsInDot(text)) return [endsInDot(clean) ? path.dirname(clean) : clean, '.'];
  return [path.dirname(clean), path.basename(clean) === '' ? '/' : path.basename(clean)];
}

/** One side of a copy. */
export interface CopyInfo {
  readonly path: string;
  readonly exists: boolean;
  readonly isDirectory: boolean;
  /** What a link that was followed is called. */
  readonly rebaseName: string;
}

export function followedName(asked: string, resolved: string): readonly [resolved: string, rebaseName: string] {
  const kept = keepEnding(resolved, asked);
  const [, askedName] = splitEntry(asked);
  const [, keptName] = splitEntry(kept);
  return [kept, askedName === keptName ? '' : askedName];
}

/** Errors: those of lstat, in docker's words. */
export function localSource(asked: string, followLink: boolean): CopyInfo {
  const { resolved, rebaseName } = followLink ? followed(asked) : notFollowed(asked);
  const stat = named('lstat', resolved, () => fs.lstatSync(resolved));
  return { path: resolved, exists: true, isDirectory: stat.isDirectory(), rebaseName };
}

function followed(asked: string): { resolved: string; rebaseName: string } {
  const real = realPath(asked);
  const [resolved, rebaseName] = followedName(asked, real);
  return { resolved, rebaseName };
}

function notFollowed(asked: string): { resolved: string; rebaseName: string } {
  const slash = asked.lastIndexOf('/') + 1;
  const directory = asked.slice(0, slash) === '' ? '.' : asked.slice(0, slash);
  const real = realPath(directory);
  const last = asked.slice(slash);
  // `link/` and `link/.` are the directory behind the link, under the name of the link.
  if (last === '' || last === '.') {
    const [, name] = splitEntry(asked);
    const rebase = last === '' && asked !== '/' && name !== path.basename(real) ? path.basename(asked) : '';
    return { resolved: last === '' ? (real === '/' ? real : `${real}/`) : keepEnding(real, '.'), rebaseName: rebase };
  }
  return { resolved: path.join(real, last), rebaseName: '' };
}

const LINKS_MAX = 10;

/** Where a copy to this path goes; it need not exist, its directory must. */
export function localDestination(asked: string): CopyInfo {
  let current = asked;
  for (let links = 0; ; links++) {
    const stat = fs.lstatSync(current, { throwIfNoEntry: false });
    if (stat === undefined) break;
    if (!stat.isSymbolicLink()) {
      return { path: keepEnding(current, asked), exists: true, isDirectory: stat.isDirectory(), rebaseName: '' };
    }
    if (links > LINKS_MAX) throw new Error(`too many symlinks in ${JSON.stringify(asked)}`);
    current = path.resolve(path.dirname(current), fs.readlinkSync(current));
  }
  const parent = path.dirname(current.replace(/\/+$/, ''));
  const above = named('stat', parent, () => fs.statSync(parent));
  if (!above.isDirectory()) throw new Error('not a directory');
  return { path: keepEnding(current, asked), exists: false, isDirectory: false, rebaseName: '' };
}

export interface Placement {
  /** Directory to unpack in. */
  readonly directory: string;
  /** The archive's first name, and what it becomes. */
  readonly from: string;
  readonly to: string;
}

/** Errors: in docker's words when the one cannot become the other. */
export function place(source: CopyInfo, destination: CopyInfo): Placement {
  const [directory, name] = splitEntry(destination.path);
  const [, ownName] = splitEntry(source.path);
  const from = source.rebaseName === '' ? ownName : source.rebaseName;
  if (destination.exists && destination.isDirectory) return { directory: destination.path, from, to: from };
  if (destination.exists && source.isDirectory) throw new Error('cannot copy directory');
  if (destination.exists || source.isDirectory) return { directory, from, to: name };
  if (destination.path.endsWith('/') || endsInDot(destination.path)) throw new Error('no such directory');
  return { directory, from, to: name };
}

/** The name of an entry with its first part replaced. */
export function renamed(name: string, from: string, to: string): string {
  if (from === to) return name;
  const old = from === '/' ? '' : from;
  return name.startsWith(old) ? to + name.slice(old.length) : name;
}

/** As Go's EvalSymlinks says it: the name of what is missing, no name for what is no directory. */
function realPath(file: string): string {
  try {
    const real = fs.realpathSync(file);
    if (/\/\.?$/.test(file) && !fs.statSync(real).isDirectory()) throw new Error('not a directory');
    return real;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code === 'ENOTDIR') throw new Error('not a directory', { cause: error });
    if (code !== 'ENOENT') throw error;
    throw new Error(`lstat ${missingOf(file)}: no such file or directory`, { cause: error });
  }
}

/** Where a chain of links ends in nothing. */
function missingOf(file: string): string {
  let current = file;
  for (let links = 0; links < LINKS_MAX; links++) {
    const stat = fs.lstatSync(current, { throwIfNoEntry: false });
    if (stat?.isSymbolicLink() !== true) break;
    current = path.resolve(path.dirname(current), fs.readlinkSync(current));
  }
  return current;
}

const words: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENOTDIR: 'not a directory',
  EACCES: 'permission denied',
  ELOOP: 'too many levels of symbolic links',
};

function named<T>(verb: string, file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    throw words[code] === undefined ? error : new Error(`${verb} ${file}: ${words[code]}`, { cause: error });
  }
}
