/** Builds that go on: some may be cancelled by their id, and somebody waits for the end of all. */
import { cancelled, conflict } from '#errdefs/errors.ts';

export class RunningBuilds {
  readonly #running = new Map<string, AbortController>();
  readonly #keeper: { busy(): void; idle(): void };
  #count = 0;

  constructor(keeper: { busy(): void; idle(): void }) {
    this.#keeper = keeper;
  }

  /** Errors: conflict. */
  begin(id: string): { readonly signal: AbortSignal } & Disposable {
    const controller = new AbortController();
    if (id !== '') {
      if (this.#running.has(id)) throw conflict(`build ID ${id} exists`);
      this.#running.set(id, controller);
    }
    this.#count += 1;
    this.#keeper.busy();
    const end = (): void => {
      this.#count -= 1;
      if (this.#count === 0) this.#keeper.idle();
      if (this.#running.get(id) === controller) this.#running.delete(id);
    };
    return { signal: controller.signal, [Symbol.dispose]: end };
  }

  /** One that is not there has ended: dockerd says nothing then. */
  cancel(id: string): void {
    this.#running.get(id)?.abort(cancelled('the build was cancelled'));
  }
}
