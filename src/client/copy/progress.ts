/** How much of a copy is through, on a terminal's last line. */
import { humanSize } from '#pkg/units/size.ts';
import type { Io } from '../terminal/io.ts';

const EVERY_MS = 100;

export class CopyProgress {
  readonly #io: Io;
  readonly #head: string;
  #bytes = 0;
  #shownAt = 0;
  #shown = false;

  /** `head`: 'Copying from container'. */
  constructor(io: Io, head: string) {
    this.#io = io;
    this.#head = head;
  }

  readonly count = (bytes: number): void => {
    this.#bytes += bytes;
    const now = performance.now();
    if (now - this.#shownAt < EVERY_MS) return;
    this.#shownAt = now;
    this.#shown = true;
    this.#io.err(`\r\u001b[2K${this.#head} - ${this.#size()}`);
  };

  /** Takes the line away and says how it ended. */
  done(destination: string): void {
    this.clear();
    this.#io.err(`Successfully copied ${this.#size()} to ${destination}\n`);
  }

  clear(): void {
    if (this.#shown) this.#io.err('\r\u001b[2K');
    this.#shown = false;
  }

  #size(): string {
    return humanSize(this.#bytes, 3);
  }
}
