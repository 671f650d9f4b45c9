/**
 * Identical steps of concurrent builds run once: whoever comes later waits for the first. The work goes on while
 * anybody wants it, and is aborted when the last one has left.
 */
import { cancelled } from '#errdefs/errors.ts';

interface Flight {
  readonly result: Promise<string>;
  readonly controller: AbortController;
  readonly listeners: Set<(stream: 1 | 2, bytes: Uint8Array) => void>;
  wanted: number;
}

export interface FlightRequest {
  readonly key: string;
  /** Output of the step, also while somebody else runs it. */
  readonly output: (stream: 1 | 2, bytes: Uint8Array) => void;
  readonly signal: AbortSignal;
  readonly work: (signal: AbortSignal, output: (stream: 1 | 2, bytes: Uint8Array) => void) => Promise<string>;
}

export class Flights {
  readonly #flights = new Map<string, Flight>();

  /** Answers the snapshot. Errors: the work's; cancelled when the caller's signal is aborted. */
  async join(request: FlightRequest): Promise<string> {
    const { key, signal, output } = request;
    signal.throwIfAborted();
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      const controller = new AbortController();
      const listeners = new Set<Flight['listeners'] extends Set<infer T> ? T : never>();
      const result = request.work(controller.signal, (stream, bytes) => {
        for (const listener of listeners) listener(stream, bytes);
      });
      const made: Flight = { result, controller, listeners, wanted: 0 };
      flight = made;
      this.#flights.set(key, made);
      const over = (): void => {
        if (this.#flights.get(key) === made) this.#flights.delete(key);
      };
      result.then(over, over);
    }
    return this.#follow(key, flight, output, signal);
  }

  async #follow(
    key: string,
    flight: Flight,
    output: (stream: 1 | 2, bytes: Uint8Array) => void,
    signal: AbortSignal,
  ): Promise<string> {
    flight.wanted += 1;
    flight.listeners.add(output);
    const left = Promise.withResolvers<never>();
    left.promise.catch(() => undefined);
    const leave = (): void =>
      left.reject(signal.reason instanceof Error ? signal.reason : cancelled('the build was cancelled'));
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([flight.result, left.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
      flight.listeners.delete(output);
      flight.wanted -= 1;
      if (flight.wanted === 0) {
        // Nobody may join what is about to end.
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        flight.controller.abort(cancelled('the build was cancelled'));
        // Its processes and mounts are gone when the last build says so.
        await flight.result.catch(() => undefined);
      }
    }
  }
}
