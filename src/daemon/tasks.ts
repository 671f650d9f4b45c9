/**
 * Background work of the daemon that no request waits for: exits being handled, restarts being waited for. Everything
 * runs under a name, fails loudly in the log, and is asked to end and waited for when the daemon stops.
 */
import { kindOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';

export class Tasks {
  readonly #running = new Set<Promise<void>>();
  readonly #controller = new AbortController();

  /** Aborted when the daemon stops. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  spawn(
    name: string,
    work: (signal: AbortSignal) => Promise<void>,
    fields: Readonly<Record<string, unknown>> = {},
  ): void {
    const run = async (): Promise<void> => {
      try {
        await work(this.signal);
      } catch (error) {
        if (this.signal.aborted || kindOf(error) === 'cancelled') return;
        log.error('background work failed', { task: name, ...fields, err: error });
      }
    };
    const task = run();
    this.#running.add(task);
    void task.finally(() => this.#running.delete(task));
  }

  /** Resolves after `ms`, or at once when the daemon stops; tells which. */
  async sleep(ms: number, signal: AbortSignal = this.signal): Promise<boolean> {
    if (signal.aborted) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => resolve(true), ms);
    const stop = (): void => resolve(false);
    signal.addEventListener('abort', stop, { once: true });
    const slept = await promise;
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    return slept;
  }

  /** The promise's value, or undefined when `signal` aborts first. */
  async unlessStopped<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    const { promise: stopped, resolve } = Promise.withResolvers<undefined>();
    const stop = (): void => resolve(undefined);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    try {
      return await Promise.race([promise, stopped]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** Asks all to end and waits for them. */
  async stop(): Promise<void> {
    this.#controller.abort(new Error('the daemon is stopping'));
    await Promise.allSettled(this.#running);
  }
}
