/**
 * .dockerignore: which files of a context count. Patterns are taken in order, the last that matches a path or one of
 * its parents decides; `!` brings back. A walk goes down with `IgnoreState`s, so that each name is matched once, and
 * into ignored directories only where an exception can match something.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { Pattern } from './pattern.ts';

interface Rule {
  readonly pattern: Pattern;
  readonly exception: boolean;
}

/** What is known about a path and all of its parents. */
export interface IgnoreState {
  readonly path: string;
  readonly ignored: boolean;
  /** For each pattern: whether it matches the path or a parent. */
  readonly matched: readonly boolean[];
}

/** Hostile files are bounded: each pattern is tried on each path. */
const PATTERNS_MAX = 20_000;

export class IgnoreMatcher {
  readonly #rules: readonly Rule[];
  readonly #root: IgnoreState;

  /** Patterns as they stand in a file or after `--exclude=`. Throws invalid-parameter for one that cannot be read. */
  constructor(patterns: readonly string[]) {
    if (patterns.length > PATTERNS_MAX) throw invalidParameter(`more than ${PATTERNS_MAX} ignore patterns`);
    this.#rules = patterns.flatMap((text): readonly Rule[] => {
      const exception = text.startsWith('!');
      if (text === '!') throw invalidParameter('illegal exclusion pattern: "!"');
      const clean = cleanPath(exception ? text.slice(1) : text);
      // What stands for the context itself cannot be ignored.
      return clean === '' ? [] : [{ pattern: new Pattern(clean), exception }];
    });
    this.#root = { path: '', ignored: false, matched: this.#rules.map(() => false) };
  }

  /** The content of a .dockerignore: `#` starts a comment line, space around a pattern is not part of it. */
  static parse(text: string): IgnoreMatcher {
    return new IgnoreMatcher(ignorePatterns(text));
  }

  get empty(): boolean {
    return this.#rules.length === 0;
  }

  get root(): IgnoreState {
    return this.#root;
  }

  /** One name further down. */
  child(parent: IgnoreState, name: string): IgnoreState {
    const path = parent.path === '' ? name : `${parent.path}/${name}`;
    let ignored = false;
    const matched: boolean[] = [];
    for (const [index, { pattern, exception }] of this.#rules.entries()) {
      const matches = parent.matched[index] === true || pattern.matches(path);
      matched.push(matches);
      if (matches) ignored = !exception;
    }
    return { path, ignored, matched };
  }

  /** Whether a directory has to be looked into: it counts, or an exception can match below. */
  enters(directory: IgnoreState): boolean {
    if (!directory.ignored) return true;
    return this.#rules.some(({ pattern, exception }) => exception && pattern.canMatchBelow(directory.path));
  }

  /** Whether all in a directory counts, whatever its names are. */
  leaves(directory: IgnoreState): boolean {
    return !directory.ignored && !this.#rules.some(({ pattern }) => pattern.canMatchBelow(directory.path));
  }

  /** For a single path; a walk is faster with `child`. */
  ignores(path: string): boolean {
    return this.stateOf(path).ignored;
  }

  stateOf(path: string): IgnoreState {
    let state = this.#root;
    for (const name of cleanPath(path).split('/')) if (name !== '') state = this.child(state, name);
    return state;
  }
}

/** The patterns of a file, in order. */
export function ignorePatterns(text: string): readonly string[] {
  const patterns: string[] = [];
  for (const line of text.replace(/^\uFEFF/, '').split('\n')) {
    if (line.startsWith('#')) continue;
    const trimmed = line.trim();
    if (trimmed === '') continue;
    const exception = trimmed.startsWith('!');
    const clean = cleanPath(exception ? trimmed.slice(1).trim() : trimmed);
    if (clean !== '' || exception) patterns.push(`${exception ? '!' : ''}${clean}`);
  }
  return patterns;
}

/** Where the ignore patterns of a Dockerfile may be, the first that exists counts. */
export function ignoreFileNames(dockerfile: string): readonly string[] {
  return [`${dockerfile}.dockerignore`, '.dockerignore'];
}

/** Go's filepath.Clean for a relative path; without a slash in front, '' for the directory itself. */
export function cleanPath(path: string): string {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue;
    if (name === '..' && names.length > 0 && names.at(-1) !== '..') names.pop();
    else if (name !== '..' || !path.startsWith('/')) names.push(name);
  }
  return names.join('/');
}
