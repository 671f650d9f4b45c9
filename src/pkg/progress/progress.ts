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
  /** Milliseconds; for tests. */
  readonly now?: () => number;
}

const BAR_CELLS = 50;
const COLUMNS = 80;
/** A rate of less time than this says nothing; one of more than that is no longer true. */
const RATE_AFTER_MS = 1000;
const RATE_WINDOW_MS = 5000;

/** How fast one line goes, by what it said in the last seconds. */
class Pace {
  readonly #points: { at: number; bytes: number }[] = [];
  readonly status: string;

  constructor(status: string) {
    this.status = status;
  }

  /** Bytes a second; undefined while too little is known. */
  rate(at: number, bytes: number): number | undefined {
    const points = this.#points;
    points.push({ at, bytes });
    while (points.length > 2 && (points[1]?.at ?? at) <= at - RATE_WINDOW_MS) points.shift();
    const first = points[0];
    if (first === undefined || at - first.at < RATE_AFTER_MS || bytes <= first.bytes) return undefined;
    return ((bytes - first.bytes) * 1000) / (at - first.at);
  }
}

export class ProgressDisplay {
  readonly #write: (text: string) => void;
  readonly #terminal: boolean;
  readonly #columns: number;
  /** Ids in the order of their lines on the screen. */
  readonly #lines: string[] = [];
  readonly #told = new Map<string, string>();
  readonly #paces = new Map<string, Pace>();
  readonly #now: () => number;

  constructor(options: ProgressOptions) {
    this.#write = options.write;
    this.#terminal = options.terminal;
    this.#columns = options.columns ?? COLUMNS;
    this.#now = options.now ?? (() => performance.now());
  }

  show(message: Progress): void {
    if (message.stream !== undefined) {
      this.#write(message.stream);
      return;
    }
    const { status = '', id = '', progressDetail: detail } = message;
    // What only a program wants to know.
    if (status === '' && id === '') return;
    // Outside a terminal how far something is would be told again and again.
    if (!this.#terminal && ((detail?.current ?? 0) > 0 || (detail?.total ?? 0) > 0)) return;
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
    const room = this.#columns - text.length - 1;
    const bar = barOf(message.progressDetail, room, this.#rate(id, status, message.progressDetail?.current));
    this.#write(`\u001b[${up}A\r\u001b[2K${bar === '' ? text : `${text} ${bar}`}\u001b[${up}B\r`);
  }

  /** Of what this line does now: downloading and unpacking have each a pace of their own. */
  #rate(id: string, status: string, current: number | undefined): number | undefined {
    if (current === undefined) return undefined;
    let pace = this.#paces.get(id);
    if (pace?.status !== status) this.#paces.set(id, (pace = new Pace(status)));
    return pace.rate(this.#now(), current);
  }
}

/** `4s`, `2m5s`, `1h3m`. */
function timeLeft(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.trunc(whole / 60)}m${whole % 60}s`;
  return `${Math.trunc(whole / 3600)}h${Math.trunc((whole % 3600) / 60)}m`;
}

/** `[====>      ]  4.2MB/50MB 12MB/s 4s`, as wide as there is room. */
function barOf(detail: Progress['progressDetail'], room: number, rate: number | undefined): string {
  const { current = 0, total = 0 } = detail ?? {};
  if (current <= 0 && total <= 0) return '';
  const speed = rate === undefined || (total > 0 && current >= total) ? '' : ` ${humanSize(rate)}/s`;
  if (total <= 0) return humanSize(current) + speed;
  const left = speed === '' || rate === undefined ? '' : ` ${timeLeft((total - current) / rate)}`;
  const numbers = `${humanSize(current).padStart(8)}/${humanSize(total)}${speed}${left}`;
  const cells = Math.min(BAR_CELLS, room - numbers.length - 5);
  if (cells < 10)
    return speed === '' || numbers.trimStart().length <= room ? numbers.trimStart() : barOf(detail, room, undefined);
  const done = Math.min(cells, Math.trunc((current / total) * cells));
  return `[${`${'='.repeat(done)}>`.slice(0, cells).padEnd(cells)}] ${numbers}`;
}
