/** Builds that may be cancelled by their id. */
import { cancelled, conflict } from '#errdefs/errors.ts';

export class RunningBuilds {
  readonly #running = new Map<string, AbortController>();

  /** Errors: conflict. */
  begin(id: string): { readonly signal: AbortSignal } & Disposable {
    const controller = new AbortController();
    if (id !== '') {
      if (this.#running.has(id)) throw conflict(`build ID ${id} exists`);
      this.#running.set(id, controller);
    }
    const end = (): void => {
      if (this.#running.get(id) === controller) this.#running.delete(id);
    };
    return { signal: controller.signal, [Symbol.dispose]: end };
  }

  /** One that is not there has ended: dockerd says nothing then. */
  cancel(id: string): void {
    this.#running.get(id)?.abort(cancelled('the build was cancelled'));
  }
}
