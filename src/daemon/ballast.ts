/**
 * A file that only takes up room: on a full disk it is given up, so that ends and removals can still be recorded (they
 * are what makes room again). It is made anew when there is room.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { log } from '#pkg/log/log.ts';

const BYTES = 1 << 20;

export class Ballast {
  readonly #file: string;
  #there = false;

  constructor(dataRoot: string) {
    this.#file = path.join(dataRoot, 'ballast');
    this.restore();
  }

  /** Gives the room up. False when it was given up before. */
  release(): boolean {
    if (!this.#there) return false;
    fs.rmSync(this.#file, { force: true });
    this.#there = false;
    log.warn('the disk of the data root is full: the reserve is used', { file: this.#file });
    return true;
  }

  /** Takes the room again. False when there is none. */
  restore(): boolean {
    if (this.#there) return true;
    try {
      // Written, not truncated to size: a hole would reserve nothing.
      const size = fs.statSync(this.#file, { throwIfNoEntry: false })?.size;
      if (size !== BYTES) fs.writeFileSync(this.#file, new Uint8Array(BYTES), { mode: 0o600 });
      this.#there = true;
    } catch {
      fs.rmSync(this.#file, { force: true });
    }
    return this.#there;
  }
}
