/** Patterns of COPY and ADD sources, as Go's filepath.Match has them for one component: `*`, `?`, `[a-z]`, `\x`. */
import { invalidParameter } from '#errdefs/errors.ts';

export const hasWildcards = (text: string): boolean => /[*?[\\]/.test(text);

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
