/**
 * Places in a Dockerfile: positions, ranges, the excerpt that is shown with an error or a warning, and the problems
 * that reading it finds. Lines and columns count from one; a column counts UTF-16 units.
 */
import { BerthError } from '#errdefs/errors.ts';

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** `end` is the position behind the last character. */
export interface SourceRange {
  readonly start: Position;
  readonly end: Position;
}

/** A Dockerfile as it came: its name is what messages call it. */
export interface SourceFile {
  readonly name: string;
  readonly text: string;
}

/** What is wrong, where, and what was probably meant. */
export interface Problem {
  readonly message: string;
  readonly range: SourceRange;
  readonly suggestion?: string;
}

/** How many lines around the range an excerpt shows, as buildctl and buildx do. */
const PADDING_LINES_MAX = 4;

/** The lines around a range, the ones within it marked with `>>>`: the form that docker's clients show. */
export function excerptOf(source: SourceFile, range: SourceRange): string {
  const lines = source.text.split('\n').map((line) => line.replace(/\r$/, ''));
  const first = Math.max(1, Math.min(range.start.line, lines.length));
  const last = Math.max(first, Math.min(range.end.line, lines.length));
  const padding = Math.max(1, Math.min(PADDING_LINES_MAX, Math.ceil((PADDING_LINES_MAX - (last - first + 1)) / 2)));
  const rule = '-'.repeat(20);
  const out = [`${source.name}:${first}`, rule];
  for (let line = Math.max(1, first - padding); line <= Math.min(lines.length, last + padding); line++) {
    const mark = line >= first && line <= last ? '>>>' : '   ';
    out.push(` ${String(line).padStart(3)} | ${mark} ${lines[line - 1] ?? ''}`);
  }
  out.push(rule);
  return `${out.join('\n')}\n`;
}

/** A Dockerfile that cannot be used: carries the first problem's place, so that clients can show the excerpt. */
export class DockerfileError extends BerthError {
  readonly source: SourceFile;
  readonly problem: Problem;

  constructor(source: SourceFile, problem: Problem) {
    super('invalid-parameter', messageOfProblem(problem));
    this.name = 'DockerfileError';
    this.source = source;
    this.problem = problem;
  }

  excerpt(): string {
    return excerptOf(this.source, this.problem.range);
  }
}

/** `dockerfile parse error on line 3: unknown instruction: RNU (did you mean RUN?)` */
export function messageOfProblem(problem: Problem): string {
  const suggestion = problem.suggestion === undefined ? '' : ` (did you mean ${problem.suggestion}?)`;
  return `dockerfile parse error on line ${problem.range.start.line}: ${problem.message}${suggestion}`;
}

/** Thrown inside the parser where only an offset is known; the caller turns it into a Problem. */
export class Fault extends Error {
  readonly offset: number | undefined;
  readonly suggestion: string | undefined;

  constructor(message: string, at: { readonly offset?: number; readonly suggestion?: string | undefined } = {}) {
    super(message);
    this.offset = at.offset;
    this.suggestion = at.suggestion;
  }
}
