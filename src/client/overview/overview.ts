/** `berth top` without a container: all that run, live, with keys to act on them. */
import * as fs from 'node:fs';
import {
  killContainer,
  listContainers,
  pauseContainer,
  restartContainer,
  stopContainer,
  unpauseContainer,
} from '#api/client/containers.ts';
import type { ContainerSummary } from '#api/types/container.ts';
import { runInForeground } from '#pkg/command/session.ts';
import type { CommandContext } from '../command.ts';
import type { GlobalValues } from '../global-flags.ts';
import { Board, listed, watchEvents } from '../container/stats-board.ts';
import { describeFailure } from '../failure.ts';
import { RawMode } from '../terminal/raw-mode.ts';
import { mayColour, mayDraw, screenSize } from '../terminal/screen.ts';
import { type Order, orderedIds, type Overview, picture } from './picture.ts';

const REDRAW_MS = 500;
const KEY_MS = 40;
const ALTERNATE = '\x1b[?1049h\x1b[?25l';
const BACK = '\x1b[?25h\x1b[?1049l';

/** Resolves when the user quits, or with the daemon's end. */
export async function runOverview(context: CommandContext): Promise<number> {
  if (!context.io.stdinIsTerminal || !mayDraw(context)) {
    throw new Error('berth top without a container needs a terminal that it can draw on: use berth stats --no-stream');
  }
  const screen = new Screen(context);
  return screen.run();
}

class Screen {
  readonly #context: CommandContext;
  readonly #board: Board;
  readonly #colour: boolean;
  readonly #over = Promise.withResolvers<void>();
  /** A descriptor of our own that never blocks: a read that waits would take keys from a shell that is opened. */
  readonly #keys: number;
  #raw: RawMode | undefined;
  #containers: readonly ContainerSummary[] = [];
  #marked = '';
  #order: Order = 'cpu';
  #message = '';
  #away = false;

  constructor(context: CommandContext) {
    this.#context = context;
    this.#board = new Board(context.client());
    this.#colour = mayColour(context);
    this.#keys = fs.openSync('/dev/tty', fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  }

  async run(): Promise<number> {
    const client = this.#context.client();
    const end = () => this.#over.resolve();
    const watching = watchEvents(client, this.#board, false, () => void this.#refresh());
    let failure: unknown;
    watching.then(end, (error: unknown) => {
      failure = error;
      end();
    });
    for (const one of await listed(client, false)) this.#board.add(one);
    await this.#refresh();
    this.#enter();
    const drawing = setInterval(() => this.#draw(), REDRAW_MS);
    const typing = setInterval(() => this.#read(), KEY_MS);
    const resized = () => setImmediate(() => this.#draw());
    process.on('SIGWINCH', resized);
    process.once('SIGTERM', end);
    try {
      this.#draw();
      await this.#over.promise;
    } finally {
      clearInterval(drawing);
      clearInterval(typing);
      process.off('SIGWINCH', resized);
      process.off('SIGTERM', end);
      this.#leave();
      fs.closeSync(this.#keys);
    }
    if (failure !== undefined) throw new Error(describeFailure(failure));
    return 0;
  }

  #enter(): void {
    this.#raw = RawMode.enter();
    this.#context.io.out(ALTERNATE);
  }

  #leave(): void {
    this.#context.io.out(BACK);
    this.#raw?.[Symbol.dispose]();
  }

  #overview(): Overview {
    const frames = new Map(
      this.#board.frames().flatMap(([{ id }, frame]) => (frame === undefined ? [] : [[id, frame] as const])),
    );
    return { containers: this.#containers, frames, marked: this.#marked, order: this.#order, message: this.#message };
  }

  #draw(): void {
    if (this.#away) return;
    const { rows, columns } = screenSize(this.#context.environment);
    const lines = picture(this.#overview(), rows, columns, this.#colour);
    this.#context.io.out(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`);
  }

  async #refresh(): Promise<void> {
    try {
      this.#containers = await listContainers(this.#context.client(), { all: false, filters: new Map() });
    } catch (error) {
      this.#message = describeFailure(error);
    }
    if (!this.#containers.some(({ Id }) => Id === this.#marked)) this.#marked = orderedIds(this.#overview())[0] ?? '';
  }

  #read(): void {
    if (this.#away) return;
    const bytes = Buffer.alloc(64);
    let length = 0;
    try {
      length = fs.readSync(this.#keys, bytes);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return;
      this.#over.resolve();
      return;
    }
    // Keys are letters, or escape sequences of three bytes.
    for (const key of bytes.toString('latin1', 0, length).match(/\x1b\[[A-Z]|[\s\S]/g) ?? []) this.#key(key);
    this.#draw();
  }

  #key(key: string): void {
    this.#message = '';
    const ids = orderedIds(this.#overview());
    const at = Math.max(0, ids.indexOf(this.#marked));
    const client = this.#context.client();
    const now = { signal: '', timeout: undefined };
    switch (key) {
      case 'q':
      case '\x03':
      case '\x1b':
        this.#over.resolve();
        return;
      case '\x1b[A':
        this.#marked = ids[Math.max(0, at - 1)] ?? '';
        return;
      case '\x1b[B':
        this.#marked = ids[Math.min(ids.length - 1, at + 1)] ?? '';
        return;
      case 'c':
        this.#order = 'cpu';
        return;
      case 'm':
        this.#order = 'memory';
        return;
      case 'n':
        this.#order = 'name';
        return;
      case 's':
        void this.#act('stopped', (id) => stopContainer(client, id, now));
        return;
      case 'k':
        void this.#act('killed', (id) => killContainer(client, id, 'KILL'));
        return;
      case 'r':
        void this.#act('restarted', (id) => restartContainer(client, id, now));
        return;
      case 'p':
        void this.#act('paused or resumed', (id) => this.#pause(id));
        return;
      case 'l':
        void this.#beside(['logs', '--follow', '--tail', '200', this.#marked]);
        return;
      case 'e':
        void this.#beside(['exec', '--interactive', '--tty', this.#marked, 'sh']);
        return;
      default:
    }
  }

  #pause(id: string): Promise<void> {
    const paused = this.#containers.find(({ Id }) => Id === id)?.State === 'paused';
    return paused ? unpauseContainer(this.#context.client(), id) : pauseContainer(this.#context.client(), id);
  }

  async #act(done: string, work: (id: string) => Promise<unknown>): Promise<void> {
    const id = this.#marked;
    if (id === '') return;
    this.#message = `${id.slice(0, 12)} …`;
    try {
      await work(id);
      this.#message = `${id.slice(0, 12)} ${done}`;
    } catch (error) {
      this.#message = describeFailure(error);
    }
    await this.#refresh();
    this.#draw();
  }

  /** Another command of ours has the terminal until it ends; Ctrl-C ends it, not us. */
  async #beside(args: readonly string[]): Promise<void> {
    if (this.#marked === '') return;
    this.#away = true;
    this.#leave();
    const [program = '', ...own] = ownCommand();
    try {
      await runInForeground(
        program,
        [...own, ...globalArguments(this.#context.globals), ...args],
        this.#context.environment,
      );
    } catch (error) {
      this.#message = describeFailure(error);
    }
    this.#away = false;
    this.#enter();
    await this.#refresh();
    this.#draw();
  }
}

/** The flags before the command, for another one of ours. */
function globalArguments(globals: GlobalValues): string[] {
  return Object.entries(globals).flatMap(([name, value]) => {
    if (typeof value === 'boolean') return value ? [`--${name}`] : [];
    const texts = typeof value === 'string' ? [value] : value;
    return texts.filter((text) => text !== '').map((text) => `--${name}=${text}`);
  });
}

/** This program: the executable, or the runtime with our source. */
function ownCommand(): string[] {
  const fromSource = /(?:^|\/)bun(?:\.exe)?$/.test(process.execPath);
  return fromSource ? [process.execPath, process.argv[1] ?? ''] : [process.execPath];
}
