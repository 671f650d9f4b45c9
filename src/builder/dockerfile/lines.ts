/**
 * From the text of a Dockerfile to instructions' lines: comments dropped, continuations joined, heredocs attached, as
 * BuildKit does. A logical line knows for each of its characters where it came from, so that errors have columns.
 */
import { type Directives, DirectiveReader } from './directives.ts';
import { type Heredoc, heredocsOf } from './heredoc.ts';
import { Fault, type Position, type Problem, type SourceRange } from './source.ts';

/** Where a stretch of a logical line lies in the file. */
interface Stretch {
  readonly offset: number;
  readonly at: Position;
}

export class LogicalLine {
  readonly text: string;
  /** Comments that stand directly before it, without `#` and surrounding space; an empty one ends a block. */
  readonly comments: readonly string[];
  readonly heredocs: readonly Heredoc[];
  readonly firstLine: number;
  readonly lastLine: number;
  readonly emptyContinuation: boolean;
  readonly #stretches: readonly Stretch[];
  readonly #lastColumn: number;

  constructor(parts: {
    readonly text: string;
    readonly comments: readonly string[];
    readonly heredocs: readonly Heredoc[];
    readonly firstLine: number;
    readonly lastLine: number;
    readonly lastColumn: number;
    readonly emptyContinuation: boolean;
    readonly stretches: readonly Stretch[];
  }) {
    this.text = parts.text;
    this.comments = parts.comments;
    this.heredocs = parts.heredocs;
    this.firstLine = parts.firstLine;
    this.lastLine = parts.lastLine;
    this.emptyContinuation = parts.emptyContinuation;
    this.#stretches = parts.stretches;
    this.#lastColumn = parts.lastColumn;
  }

  /** Where the character at an offset of `text` stands in the file. */
  positionOf(offset: number): Position {
    let found: Stretch = this.#stretches[0] ?? { offset: 0, at: { line: this.firstLine, column: 1 } };
    for (const stretch of this.#stretches) {
      if (stretch.offset > offset) break;
      found = stretch;
    }
    return { line: found.at.line, column: found.at.column + offset - found.offset };
  }

  rangeOf(start: number, end: number): SourceRange {
    return { start: this.positionOf(start), end: this.positionOf(end) };
  }

  get range(): SourceRange {
    return { start: this.positionOf(0), end: { line: this.lastLine, column: this.#lastColumn } };
  }
}

/** Instructions whose lines may carry heredocs; ONBUILD as the one in it. JSON forms are left alone by the parser. */
const withHeredocs = /^(?:onbuild\s+)?(add|copy|run)(?:\s|$)/i;

export interface Lines {
  readonly lines: readonly LogicalLine[];
  readonly directives: Directives;
  readonly escape: '\\' | '`';
  readonly problems: readonly Problem[];
}

/** Go's unicode.IsSpace for what can stand in a line. */
const leadingSpace = /^[\t\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

export function splitLines(text: string): Lines {
  return new Splitter(text).run();
}

class Splitter {
  readonly #physical: readonly string[];
  readonly #directives = new DirectiveReader();
  readonly #lines: LogicalLine[] = [];
  readonly #problems: Problem[] = [];
  #escape: '\\' | '`' = '\\';
  #next = 0;

  constructor(text: string) {
    const physical = (text.startsWith('\uFEFF') ? text.slice(1) : text).split('\n');
    if (physical.at(-1) === '') physical.pop();
    this.#physical = physical;
  }

  run(): Lines {
    let comments: string[] = [];
    while (this.#next < this.#physical.length) {
      const raw = this.#takeRaw();
      const number = this.#next;
      const indent = leadingSpace.exec(raw)?.[0].length ?? 0;
      const line = raw.slice(indent);
      this.#directive(line, number);
      if (line.startsWith('#')) {
        const comment = line.slice(1).trim();
        if (comment === '') comments = [];
        else comments.push(comment);
      } else if (line === '') {
        comments = [];
      } else {
        this.#logical(line, { line: number, column: indent + 1 }, comments);
        comments = [];
      }
    }
    if (this.#lines.length === 0 && this.#problems.length === 0) {
      this.#problem('file with no instructions', Math.max(1, this.#physical.length));
    }
    return {
      lines: this.#lines,
      directives: this.#directives.found,
      escape: this.#escape,
      problems: this.#problems,
    };
  }

  /** The next physical line without its end. */
  #takeRaw(): string {
    return (this.#physical[this.#next++] ?? '').replace(/\r+$/, '');
  }

  #problem(message: string, line: number, endLine = line): void {
    const end = { line: endLine, column: (this.#physical[endLine - 1]?.length ?? 0) + 1 };
    this.#problems.push({ message, range: { start: { line, column: 1 }, end } });
  }

  #directive(line: string, number: number): void {
    try {
      if (!this.#directives.take(line, number)) return;
      if (this.#directives.found.escape?.value === '`') this.#escape = '`';
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#problem(error.message, number);
    }
  }

  /** The line without its continuation mark, or undefined when it has none. An escaped mark is none. */
  #continued(line: string): string | undefined {
    const trimmed = line.replace(/[ \t]+$/, '');
    if (!trimmed.endsWith(this.#escape) || trimmed.at(-2) === this.#escape) return undefined;
    return trimmed.slice(0, -1);
  }

  #logical(first: string, at: Position, comments: readonly string[]): void {
    const firstLine = this.#next;
    const stretches: Stretch[] = [{ offset: 0, at }];
    let emptyContinuation = false;
    let lastColumn = at.column + first.length;
    let continued = this.#continued(first);
    let text = continued ?? first;
    while (continued !== undefined && this.#next < this.#physical.length) {
      const raw = this.#takeRaw();
      const bare = raw.replace(leadingSpace, '');
      if (bare.startsWith('#')) continue;
      if (bare === '') {
        emptyContinuation = true;
        continue;
      }
      continued = this.#continued(raw);
      stretches.push({ offset: text.length, at: { line: this.#next, column: 1 } });
      text += continued ?? raw;
      lastColumn = raw.length + 1;
    }
    // A lone escape mark with nothing behind it.
    if (text.trim() === '') return;
    const heredocs = this.#heredocs(text, firstLine);
    if (heredocs === undefined) return;
    if (heredocs.length > 0) lastColumn = (this.#physical[this.#next - 1]?.length ?? 0) + 1;
    const lastLine = this.#next;
    this.#lines.push(
      new LogicalLine({ text, comments, heredocs, firstLine, lastLine, lastColumn, emptyContinuation, stretches }),
    );
  }

  /** Undefined when one of them has no end. */
  #heredocs(text: string, firstLine: number): readonly Heredoc[] | undefined {
    const keyword = withHeredocs.exec(text);
    // The JSON form has no heredocs, whatever its strings say.
    if (keyword === null || isJsonForm(text.slice(keyword[0].length))) return [];
    const out: Heredoc[] = [];
    for (const heredoc of heredocsOf(text)) {
      const startLine = this.#next + 1;
      let content = '';
      let ended = false;
      while (!ended && this.#next < this.#physical.length) {
        const raw = this.#physical[this.#next++] ?? '';
        const bare = raw.replace(/[\r\n]+$/, '');
        ended = (heredoc.chomp ? bare.replace(/^\t+/, '') : bare) === heredoc.name;
        if (!ended) content += `${raw}\n`;
      }
      if (!ended) {
        this.#problem(`unterminated heredoc`, firstLine, this.#physical.length);
        return undefined;
      }
      out.push({ ...heredoc, content, startLine });
    }
    return out;
  }
}

/** Whether the arguments behind the flags are a JSON array of strings. */
function isJsonForm(rest: string): boolean {
  const args = rest.replace(/^(?:\s*--\S*)*\s*/, '');
  if (!args.startsWith('[')) return false;
  try {
    return Array.isArray(JSON.parse(args));
  } catch {
    return false;
  }
}
