/** Patterns of COPY and ADD sources, as Go's filepath.Match has them for one component: `*`, `?`, `[a-z]`, `\x`. */
import { invalidParameter } from '#errdefs/errors.ts';

export const hasWildcards = (text: string): boolean => /[*?[\\]/.test(text);

export const unescape = (name: string): string => name.replace(/\\(.)/g, '$1');

/** Paths that match, in byte order, component by component. `list` says what is in a directory; undefined ends it. */
export function expandPaths(
  names: readonly string[],
  list: (directory: string) => readonly string[] | undefined,
): readonly string[] | undefined {
  let paths = [''];
  for (const name of names) {
    const pattern = hasWildcards(name) ? globPattern(name) : undefined;
    const next: string[] = [];
    for (const path of paths) {
      const found = pattern === undefined ? [unescape(name)] : list(path)?.filter((entry) => pattern.test(entry));
      if (found === undefined) return undefined;
      next.push(...found.map((entry) => (path === '' ? entry : `${path}/${entry}`)));
    }
    paths = next;
  }
  return paths;
}

/** Errors: invalid-parameter `syntax error in pattern`. */
export function globPattern(pattern: string): RegExp {
  let source = '';
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern.charAt(at);
    if (char === '*') source += '[^/]*';
    else if (char === '?') source += '[^/]';
    else if (char === '[') {
      const [text, end] = characterClass(pattern, at);
      source += text;
      at = end;
    } else if (char === '\\') {
      at += 1;
      if (at >= pattern.length) throw bad(pattern);
      source += RegExp.escape(pattern.charAt(at));
    } else source += RegExp.escape(char);
  }
  return new RegExp(`^${source}$`, 'su');
}

const bad = (pattern: string) => invalidParameter(`syntax error in pattern: ${JSON.stringify(pattern)}`);

/** The expression, and where the class ends. */
function characterClass(pattern: string, start: number): [string, number] {
  let at = start + 1;
  let text = '[';
  if (pattern.charAt(at) === '^') {
    text += '^/';
    at += 1;
  }
  const first = at;
  const one = (): string => {
    let char = pattern.charAt(at);
    if (char === '' || (char === ']' && at > first) || char === '-') throw bad(pattern);
    if (char === '\\') char = pattern.charAt(++at);
    if (char === '') throw bad(pattern);
    at += 1;
    return `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`;
  };
  while (pattern.charAt(at) !== ']' || at === first) {
    text += one();
    if (pattern.charAt(at) !== '-') continue;
    at += 1;
    text += `-${one()}`;
  }
  return [`${text}]`, at];
}
