/**
 * Puts the terminal on stdin into raw mode and back. The old mode comes back whatever ends the process that JavaScript
 * gets to see: return, exception, process.exit, SIGTERM.
 */

export class RawMode implements Disposable {
  #active = false;
  readonly #restore = () => this[Symbol.dispose]();

  /** Does nothing where stdin is no terminal. */
  static enter(): RawMode {
    const mode = new RawMode();
    if (!process.stdin.isTTY) return mode;
    process.stdin.setRawMode(true);
    mode.#active = true;
    process.on('exit', mode.#restore);
    return mode;
  }

  [Symbol.dispose](): void {
    if (!this.#active) return;
    this.#active = false;
    process.off('exit', this.#restore);
    process.stdin.setRawMode(false);
  }
}
