/**
 * What the daemon holds of a running container besides its record: the process, its driver and plans to restart it. Gone when the exit is
 * handled; built anew by restore.
 */
import type { ExecDriver, RunningProcess } from '#execdriver/driver.ts';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';

export interface LiveContainer {
  readonly process: RunningProcess;
  readonly driver: ExecDriver;
  /** Settles when everything that the exit brings has been done, removal by --rm included. */
  readonly ended: Promise<void>;
  /** For how long it has run, whatever was done to the host's clock. */
  ranMs(): number;
  /** Kills for want of memory that have been told. */
  oomKills: number;
  /** Disposed before the driver lets go of the container. */
  oomWatch: Disposable | undefined;
  /** A restart by the user is under way: its exit is not the container's end. */
  userRestart: boolean;
  /** Starts of execs that are under way; a pause waits for them. */
  readonly launches: Set<Promise<unknown>>;
  /** It is being frozen: no exec may start. */
  pausing: boolean;
}

export class LiveContainers {
  /** The system goes down: what ends now is not stopped by the user and not started again by this daemon. */
  shuttingDown = false;
  /** While the daemon restores: restarts (container → wait in ms) that are put into an order before any is begun. */
  heldRestarts: Map<string, number> | undefined;
  readonly #live = new Map<string, LiveContainer>();
  /** Ends the wait of a container that is between two starts of its policy. */
  readonly #restarts = new Map<string, AbortController>();

  get(id: string): LiveContainer | undefined {
    return this.#live.get(id);
  }

  set(id: string, live: LiveContainer): void {
    this.#live.set(id, live);
  }

  delete(id: string): void {
    this.#live.delete(id);
  }

  all(): [string, LiveContainer][] {
    return [...this.#live];
  }

  /** Signal of the wait before a restart by the policy. */
  planRestart(id: string): AbortSignal {
    const controller = new AbortController();
    this.#restarts.set(id, controller);
    return controller.signal;
  }

  /** The user starts, stops or removes it: no restart by the policy any more. */
  cancelRestart(id: string): void {
    this.#restarts.get(id)?.abort();
    this.#restarts.delete(id);
  }
}

/** A process that has already ended is no failure for whoever wanted to end it. */
export async function signalQuietly(process: RunningProcess, signal: number): Promise<void> {
  try {
    await process.signal(signal);
  } catch (error) {
    if (kindOf(error) !== 'not-found') throw error;
    log.debug('process had ended', { process: process.id, signal, err: messageOf(error) });
  }
}
