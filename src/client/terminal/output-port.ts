/**
 * A descriptor that a container's output goes to. Writes are asynchronous, in order, and joined while one is under way;
 * whoever waits for them is slowed to the speed of the reader.
 */
import { nodeFs } from '../node-modules.ts';

const EXIT_PIPE = 141;
const RETRY_MS = 2;
const JOINED_MAX = 64;

export class OutputPort {
  readonly #fd: number;
  readonly #queue: Uint8Array[] = [];
  #running: Promise<void> | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Resolves when these bytes are written. */
  write(bytes: Uint8Array): Promise<void> {
    if (bytes.length > 0) this.#queue.push(bytes);
    return this.drained();
  }

  /** Resolves when everything given so far is written. */
  drained(): Promise<void> {
    if (this.#queue.length === 0 && this.#running === undefined) return Promise.resolve();
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        const joined = this.#queue.slice(0, JOINED_MAX);
        this.#forget(await this.#writeSome(joined));
      }
    } finally {
      // In the same turn as the last look at the queue: nobody can wait for a run that has ended.
      this.#running = undefined;
    }
  }

  #writeSome(chunks: readonly Uint8Array[]): Promise<number> {
    return new Promise((resolve, reject) => {
      nodeFs().writev(this.#fd, chunks, (error, written) => {
        if (error === null) resolve(written);
        // The terminal or pipe is non-blocking, because somebody else made it so, and full.
        else if (error.code === 'EAGAIN') setTimeout(() => resolve(0), RETRY_MS);
        else if (error.code === 'EPIPE') process.exit(EXIT_PIPE);
        else reject(error);
      });
    });
  }

  #forget(written: number): void {
    let left = written;
    while (left > 0) {
      const first = this.#queue[0];
      if (first === undefined) return;
      if (first.length > left) {
        this.#queue[0] = first.subarray(left);
        return;
      }
      left -= first.length;
      this.#queue.shift();
    }
  }
}
