/**
 * Deleting trees later. `discard` renames into the trash directory, which takes no time, and the trees are deleted in
 * the background one after the other. While somebody makes layers (`hold`), deleting waits: creating files soon after a
 * mass deletion is several times slower. What is left at a stop is deleted after the next start.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';

/** Deleting begins so long after something was discarded: whoever asked has its answer by then. */
const QUIET_MS = 2000;

export class Trash {
  readonly #directory: string;
  #holders = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(directory: string) {
    this.#directory = directory;
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Takes what is at `name`; nothing there is fine. Same file system. */
  discard(name: string): void {
    try {
      fs.renameSync(name, this.#place(name));
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    this.#schedule();
  }

  /** As `discard`; the disk is not waited for on this thread. */
  async discardAside(name: string): Promise<void> {
    try {
      await fs.promises.rename(name, this.#place(name));
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    this.#schedule();
  }

  #place(name: string): string {
    return path.join(this.#directory, `${path.basename(name)}-${randomBytes(6).toString('hex')}`);
  }

  /** Deletes nothing until disposed. */
  hold(): Disposable {
    this.#holders += 1;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#holders -= 1;
        this.#schedule();
      },
    };
  }

  /** Goes on with what an earlier process left. */
  resume(): void {
    this.#schedule();
  }

  /** Deletes everything now. */
  async empty(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#running;
    for (const name of fs.readdirSync(this.#directory)) await this.#delete(name);
  }

  /** Stops after the tree at hand. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#running;
  }

  #schedule(): void {
    if (this.#closed || this.#holders > 0 || this.#running !== undefined || this.#timer !== undefined) return;
    if (fs.readdirSync(this.#directory).length === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#running = this.#work().finally(() => {
        this.#running = undefined;
        this.#schedule();
      });
    }, QUIET_MS);
    // The process does not live on to delete.
    this.#timer.unref();
  }

  async #work(): Promise<void> {
    for (const name of fs.readdirSync(this.#directory)) {
      if (this.#closed || this.#holders > 0) return;
      await this.#delete(name);
    }
  }

  async #delete(name: string): Promise<void> {
    try {
      await fs.promises.rm(path.join(this.#directory, name), { recursive: true, force: true });
    } catch (error) {
      log.warn('cannot delete a discarded layer', { name, err: messageOf(error) });
    }
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
