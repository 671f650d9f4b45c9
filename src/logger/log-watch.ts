/**
 * Tells that a log has grown or was rotated, by inotify: nothing is polled. After a rotation the name is another file,
 * which is watched from then on.
 */
import { type FSWatcher, watch } from 'node:fs';

/** Between a rename and the new file there is none; where somebody has deleted it there may be none for long. */
const AGAIN_MS = 20;
const AGAIN_MS_MAX = 5000;

export class LogWatch implements Disposable {
  readonly #path: string;
  #watcher: FSWatcher | undefined;
  #rung = false;
  #againMs = AGAIN_MS;
  #closed = false;
  #wake: (() => void) | undefined;

  constructor(path: string) {
    this.#path = path;
    this.again();
  }

  /** Watches the file that has the name now. */
  again(): void {
    if (this.#closed) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    try {
      this.#watcher = watch(this.#path, { persistent: false }, (event) => this.#changed(event));
      this.#watcher.on('error', () => this.ring());
      this.#againMs = AGAIN_MS;
    } catch {
      setTimeout(() => {
        this.again();
        this.ring();
      }, this.#againMs);
      this.#againMs = Math.min(2 * this.#againMs, AGAIN_MS_MAX);
    }
  }

  #changed(event: string): void {
    if (event === 'rename') this.again();
    this.ring();
  }

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  /** Resolves when it rang since the last time. */
  async next(): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    this.#rung = false;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#watcher?.close();
  }
}
