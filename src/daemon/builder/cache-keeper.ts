/** When the build cache is looked at: a while after the last of the builds has ended. What is done then is loaded then. */
import type { Services } from '../services.ts';

const IDLE_MS = 5000;

export class CacheKeeper {
  readonly #services: Services;
  #timer: NodeJS.Timeout | undefined;

  constructor(services: Services) {
    this.#services = services;
  }

  /** A build has begun. */
  busy(): void {
    clearTimeout(this.#timer);
  }

  /** None goes on any more. */
  idle(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#collect(), IDLE_MS);
    this.#timer.unref();
  }

  #collect(): void {
    const { tasks, builder } = this.#services;
    if (tasks.signal.aborted) return;
    tasks.spawn('build cache', async (signal) => {
      const { collectCache } = await import('./cache-gc.ts');
      await collectCache(this.#services, builder.parts, signal);
    });
  }
}
