/** How a build is shown: a live tree on a terminal, lines elsewhere, the events themselves, or nothing. */
import type { BuildLine } from '#api/client/build.ts';
import type { Io } from '../terminal/io.ts';

export type ProgressMode = 'plain' | 'tty' | 'rawjson' | 'quiet';

export interface BuildView {
  show(line: BuildLine): void;
  /** The context: bytes sent so far. */
  sent(bytes: number): void;
  /** Nothing more comes. */
  end(): void;
}

interface Step {
  readonly name: string;
  readonly number: number;
  startedMs: number | undefined;
  endedMs: number | undefined;
  outcome: BuildLine['outcome'];
  /** Last lines of output. */
  tail: string[];
  rest: string;
  status: string;
}

const TAIL_LINES = 6;
const REDRAW_MS = 80;

export function viewOf(mode: ProgressMode, io: Io, columns = 80): BuildView {
  if (mode === 'quiet') return { show: () => undefined, sent: () => undefined, end: () => undefined };
  if (mode === 'rawjson') {
    return { show: (line) => io.err(`${JSON.stringify(line)}\n`), sent: () => undefined, end: () => undefined };
  }
  return mode === 'plain' ? new PlainView(io) : new TreeView(io, columns);
}

const seconds = (ms: number): string => (ms / 1000).toFixed(1);

/** Every line once, with the number of its step. */
class PlainView implements BuildView {
  readonly #io: Io;
  readonly #steps = new Map<string, Step>();

  constructor(io: Io) {
    this.#io = io;
  }

  sent(): void {}

  end(): void {}

  show(line: BuildLine): void {
    if (line.vertex !== undefined) {
      this.#steps.set(line.vertex.id, newStep(line.vertex.name, this.#steps.size + 1));
    }
    if (line.stream !== undefined) this.#io.err(line.stream);
    if (line.note !== undefined) this.#io.err(line.note.endsWith('\n') ? line.note : `${line.note}\n`);
    if (line.warning !== undefined) this.#io.err(`WARNING: ${line.warning}\n`);
    const step = this.#steps.get(line.started ?? line.ended ?? line.of ?? '');
    if (step === undefined) return;
    if (line.started !== undefined) {
      step.startedMs = line.at;
      this.#io.err(`#${step.number} ${step.name}\n`);
    }
    if (line.log !== undefined) this.#log(step, line.log);
    if (line.ended === undefined || step.outcome !== undefined) return;
    this.#log(step, '', true);
    step.outcome = line.outcome;
    const took = seconds((line.at ?? 0) - (step.startedMs ?? 0));
    if (line.outcome === 'cached') this.#io.err(`#${step.number} CACHED\n\n`);
    else if (line.outcome === 'done') this.#io.err(`#${step.number} DONE ${took}s\n\n`);
    else if (line.outcome === 'failed') this.#io.err(`#${step.number} ERROR: ${line.error ?? ''}\n\n`);
    else this.#io.err(`#${step.number} CANCELED\n\n`);
  }

  #log(step: Step, text: string, over = false): void {
    const lines = (step.rest + text).split('\n');
    step.rest = over ? '' : (lines.pop() ?? '');
    for (const line of lines) if (!over || line !== '') this.#io.err(`#${step.number} ${line}\n`);
  }
}

const newStep = (name: string, number: number): Step => ({
  name,
  number,
  startedMs: undefined,
  endedMs: undefined,
  outcome: undefined,
  tail: [],
  rest: '',
  status: '',
});

/** Drawn again over itself: done steps with their times, running ones with the end of their output. */
class TreeView implements BuildView {
  readonly #io: Io;
  readonly #columns: number;
  readonly #steps = new Map<string, Step>();
  readonly #began = performance.now();
  readonly #notes: string[] = [];
  #drawn = 0;
  #sent = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(io: Io, columns: number) {
    this.#io = io;
    this.#columns = Math.max(20, columns);
    this.#timer = setInterval(() => this.#draw(), REDRAW_MS);
  }

  sent(bytes: number): void {
    this.#sent += bytes;
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#draw(true);
  }

  show(line: BuildLine): void {
    if (line.vertex !== undefined) {
      this.#steps.set(line.vertex.id, newStep(line.vertex.name, this.#steps.size + 1));
    }
    if (line.stream !== undefined) this.#notes.push(...line.stream.split('\n').filter((text) => text !== ''));
    if (line.note !== undefined) this.#notes.push(...line.note.split('\n').filter((text) => text !== ''));
    if (line.warning !== undefined) this.#notes.push(`WARNING: ${line.warning}`);
    const step = this.#steps.get(line.started ?? line.ended ?? line.of ?? '');
    if (step === undefined) return;
    if (line.started !== undefined) step.startedMs ??= performance.now();
    if (line.status !== undefined) step.status = `${line.status} ${line.current ?? ''}`;
    if (line.log !== undefined) {
      const lines = (step.rest + line.log).split(/\r?\n|\r/);
      step.rest = lines.pop() ?? '';
      step.tail = [...step.tail, ...lines].slice(-TAIL_LINES);
    }
    if (line.ended === undefined || step.outcome !== undefined) return;
    step.outcome = line.outcome ?? 'done';
    step.endedMs = performance.now();
  }

  #draw(last = false): void {
    const lines = this.#lines(last);
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : '';
    this.#io.err(`${up}\u001b[0J${lines.map((line) => `${line}\n`).join('')}`);
    this.#drawn = lines.length;
  }

  #lines(last: boolean): string[] {
    const steps = [...this.#steps.values()];
    const done = steps.filter(({ outcome }) => outcome !== undefined).length;
    const elapsed = seconds(performance.now() - this.#began);
    const head = this.#cut(
      `[+] Building ${elapsed}s (${done}/${steps.length})${done === steps.length && last ? ' FINISHED' : ''}`,
    );
    const sent = steps.length === 0 && this.#sent > 0 ? [this.#cut(` => sending context ${this.#sent} B`)] : [];
    const shown = steps.filter(({ startedMs, outcome }) => startedMs !== undefined || outcome !== undefined);
    const body = shown.flatMap((step) => this.#stepLines(step, last));
    const room = Math.max(10, (process.stderr.rows ?? 40) - 4);
    return [head, ...sent, ...(last ? body : body.slice(-room)), ...this.#notes.map((note) => this.#cut(note))];
  }

  #stepLines(step: Step, last: boolean): string[] {
    const marks = { done: '', cached: 'CACHED ', failed: 'ERROR ', cancelled: 'CANCELED ' } as const;
    const mark = step.outcome === undefined ? '' : marks[step.outcome];
    const took = seconds((step.endedMs ?? performance.now()) - (step.startedMs ?? performance.now()));
    const name = ` => ${mark}${step.name}`;
    const time = `${took}s`;
    const width = this.#columns - time.length - 1;
    const title = `${name.length > width ? `${name.slice(0, width - 1)}…` : name.padEnd(width)} ${time}`;
    const colour = step.outcome === 'failed' ? 31 : step.outcome === undefined ? 0 : 34;
    const line = colour === 0 ? title : `\u001b[${colour}m${title}\u001b[0m`;
    const wantsTail = step.outcome === undefined || (step.outcome === 'failed' && last);
    if (!wantsTail) return [line];
    const tail = step.tail.length === 0 && step.status !== '' ? [step.status] : step.tail;
    return [line, ...tail.map((text) => this.#cut(` => => # ${text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, '')}`))];
  }

  #cut(text: string): string {
    return text.length > this.#columns ? `${text.slice(0, this.#columns - 1)}…` : text;
  }
}
