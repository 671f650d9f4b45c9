/** A registry on a thread of its own: start, the address, stop. What the thread cannot do is an error here. */
import { BerthError, deadlineExceeded, systemError } from '#errdefs/errors.ts';
import { log, logLevel } from '#pkg/log/log.ts';
import type { RegistryConfig } from './config.ts';
import type { FromRegistry, ToRegistry } from './registry-worker.ts';

const START_MS = 60_000;
const STOP_MS = 20_000;

export class RegistryThread implements AsyncDisposable {
  readonly url: string;
  readonly #worker: Worker;

  private constructor(worker: Worker, url: string) {
    this.#worker = worker;
    this.url = url;
  }

  /** Errors: those of `RegistryServer.start`. */
  static async start(config: RegistryConfig): Promise<RegistryThread> {
    const worker = new Worker(new URL('./registry-worker.ts', import.meta.url));
    try {
      const answer = await ask(worker, { kind: 'start', config, logLevel: logLevel() }, START_MS);
      if (answer.kind === 'failed') throw new BerthError(answer.error, answer.message);
      if (answer.kind !== 'listening') throw systemError('the registry has not started');
      worker.onerror = (event) => log.error('the registry has failed', { err: event.message });
      return new RegistryThread(worker, answer.url);
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await ask(this.#worker, { kind: 'stop' }, STOP_MS);
    } finally {
      this.#worker.terminate();
    }
  }
}

/** A Worker that throws says nothing by itself: both its error and its silence end the wait. */
async function ask(worker: Worker, message: ToRegistry, limitMs: number): Promise<FromRegistry> {
  const { promise, resolve, reject } = Promise.withResolvers<FromRegistry>();
  worker.onmessage = (event: MessageEvent<FromRegistry>) => resolve(event.data);
  worker.onerror = (event) => reject(systemError(`the registry has failed: ${event.message}`));
  const timer = setTimeout(() => reject(deadlineExceeded('the registry does not answer')), limitMs);
  try {
    worker.postMessage(message);
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}
