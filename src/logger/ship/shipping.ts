/**
 * The main thread's side of shipping logs to other programs. The thread is started with the first container that needs it;
 * nobody here ever waits for a remote.
 */
import { log } from '#pkg/log/log.ts';
import type { LogTarget } from '../log-target.ts';
import type { ShipCommand, ShipEvent } from './protocol.ts';
import { plainTarget } from '../log-file.ts';

export interface ShippingHooks {
  /** Holds a container's output back, or lets it go on. */
  readonly pause: (id: string, on: boolean) => void;
  readonly lost: (id: string, lines: number, reason: string) => void;
}

/** As with the pump's: beside this file, or an entry point of its own in the executable. */
function workerUrl(): string | URL {
  return import.meta.url.includes('/$bunfs/')
    ? '/$bunfs/root/logger/ship/ship-worker.js'
    : new URL('./ship-worker.ts', import.meta.url);
}

export class Shipping {
  readonly #hooks: ShippingHooks;
  #worker: Worker | undefined;
  /** Containers that the thread knows, with whether output may still come. */
  readonly #open = new Map<string, boolean>();
  readonly #released = new Map<string, () => void>();
  readonly #stopped = Promise.withResolvers<void>();

  constructor(hooks: ShippingHooks) {
    this.#hooks = hooks;
  }

  /** Output of a container may come from now on. Nothing where its log stays here. */
  open(id: string, target: LogTarget | undefined): void {
    const file = plainTarget(target);
    if (target?.remote === undefined || file === undefined) return;
    this.#open.set(id, true);
    this.#send({ op: 'open', id, file, remote: target.remote });
  }

  /** Its run is over; what it wrote is still sent. */
  end(id: string): void {
    if (!this.#open.has(id)) return;
    this.#open.set(id, false);
    this.#send({ op: 'end', id });
  }

  /** Before its files are deleted. */
  async release(id: string): Promise<void> {
    if (!this.#open.delete(id)) return;
    const released = Promise.withResolvers<void>();
    this.#released.set(id, released.resolve);
    this.#send({ op: 'release', id });
    await released.promise;
  }

  /** What was not sent is sent by the next daemon. */
  async close(): Promise<void> {
    if (this.#worker === undefined) return;
    this.#send({ op: 'stop' });
    await this.#stopped.promise;
    this.#worker.terminate();
  }

  #send(command: ShipCommand): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(command);
  }

  #start(): Worker {
    const worker = new Worker(workerUrl());
    worker.onmessage = (event: MessageEvent<ShipEvent>) => this.#take(event.data);
    worker.onerror = (event) => {
      log.error('the thread that ships logs has failed', { err: event.message });
      this.#worker = undefined;
      for (const resolve of this.#released.values()) resolve();
      this.#stopped.resolve();
    };
    worker.unref();
    return worker;
  }

  #take(event: ShipEvent): void {
    switch (event.type) {
      case 'released':
        this.#released.get(event.id)?.();
        this.#released.delete(event.id);
        return;
      case 'done':
        if (this.#open.get(event.id) === false) this.#open.delete(event.id);
        return;
      case 'pause':
        return this.#hooks.pause(event.id, event.on);
      case 'remote':
        if (event.error === undefined) log.info('logs are sent again', { container: event.id });
        else log.error('logs cannot be sent, they are kept', { container: event.id, err: event.error });
        return;
      case 'lost':
        return this.#hooks.lost(event.id, event.lines, event.reason);
      case 'stopped':
        return this.#stopped.resolve();
    }
  }
}
