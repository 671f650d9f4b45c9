/** A program in a terminal of its own (util-linux script), typed into and watched. */
import { type ChildProcess, spawn } from 'node:child_process';
import { eventually } from './command.ts';

export class Terminal implements AsyncDisposable {
  readonly #child: ChildProcess;
  /** The program's exit code. */
  readonly ended: Promise<number>;
  #text = '';

  constructor(command: string) {
    this.#child = spawn('script', ['-qec', `stty rows 24 cols 80; exec ${command}`, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout?.on('data', (b: Buffer) => {
      this.#text += b.toString();
    });
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#child.on('exit', (code) => resolve(code ?? -1));
    this.ended = promise;
  }

  get text(): string {
    return this.#text;
  }

  types(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  async sees(text: string): Promise<void> {
    await eventually(`the terminal shows ${JSON.stringify(text)}`, () => this.#text.includes(text)).catch(
      (e: unknown) => {
        throw new Error(`${String(e)}; it shows ${JSON.stringify(this.#text)}`);
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill('SIGKILL');
    await this.ended;
  }
}
