/**
 * Shows a stream of progress messages (load, import, pull): in a terminal one line for each id, redrawn in place with a
 * bar; elsewhere each new status once, without bars, so that a log stays readable.
 */
import { humanSize } from '#pkg/units/size.ts';

export interface Progress {
  readonly stream?: string | undefined;
  readonly status?: string | undefined;
  readonly id?: string | undefined;
  readonly progressDetail?: { readonly current?: number; readonly total?: number } | undefined;
}

export interface ProgressOptions {
  readonly write: (text: string) => void;
  readonly terminal: boolean;
  /** Of the terminal. */
  readonly columns?: number;
}

const BAR_CELLS = 50;
const COLUMNS = 80;

export class ProgressDisplay {
  readonly #write: (text: string) => void;
  readonly #terminal: boolean;
  readonly #columns: number;
  /** Ids in the order of their lines on the screen. */
  readonly #lines: string[] = [];
  readonly #told = new Map<string, string>();

  constructor(options: ProgressOptions) {
    this.#write = options.write;
    this.#terminal = options.terminal;
    this.#columns = options.columns ?? COLUMNS;
  }

  show(message: Progress): void {
    if (message.stream !== undefined) {
      this.#write(message.stream);
      return;
    }
    const { status = '', id = '' } = message;
    const text = id === '' ? status : `${id}: ${status}`;
    if (!this.#terminal) {
      if (this.#told.get(id) === status && id !== '') return;
      this.#told.set(id, status);
      this.#write(`${text}\n`);
      return;
    }
    if (id === '') {
      this.#write(`${text}\n`);
      // What was drawn above scrolls away from what comes.
      this.#lines.length = 0;
      return;
    }
    let line = this.#lines.indexOf(id);
    if (line < 0) {
      line = this.#lines.push(id) - 1;
      this.#write('\n');
    }
    const up = this.#lines.length - line;
    const bar = barOf(message.progressDetail, this.#columns - text.length - 1);
    this.#write(`\u001b[${up}A\r\u001b[2K${bar === '' ? text : `${text} ${bar}`}\u001b[${up}B\r`);
  }
}

/** `[====>      ]  4.2MB/50MB`, as wide as there is room. */
function barOf(detail: Progress['progressDetail'], room: number): string {
  const { current = 0, total = 0 } = detail ?? {};
  if (current <= 0 && total <= 0) return '';
  if (total <= 0) return humanSize(current);
  const numbers = `${humanSize(current).padStart(8)}/${humanSize(total)}`;
  const cells = Math.min(BAR_CELLS, room - numbers.length - 5);
  if (cells < 10) return numbers.trimStart();
  const done = Math.min(cells, Math.trunc((current / total) * cells));
  return `[${`${'='.repeat(done)}>`.slice(0, cells).padEnd(cells)}] ${numbers}`;
}
