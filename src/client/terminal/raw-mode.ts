/**
 * Puts the terminal on stdin into raw mode and back. The old mode comes back whatever ends the process that JavaScript
 * gets to see: return, exception, process.exit, SIGTERM.
 */

import { setTerminal } from '#pkg/command/session.ts';

export class RawMode implements Disposable {
  #active = false;
  readonly #restore = () => this[Symbol.dispose]();

  /**
   * Does nothing where stdin is no terminal. `passing`: what is written comes from another terminal, whose line ends are
   * made there: a line feed alone goes down and not to the left, as programs that use the whole screen rely on.
   */
  static enter(o: { readonly passing?: boolean } = {}): RawMode {
    const mode = new RawMode();
    if (!process.stdin.isTTY) return mode;
    process.stdin.setRawMode(true);
    // The runtime's raw mode leaves the output as it is; its way back restores that too.
    if (o.passing === true) setTerminal(['-opost']);
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
