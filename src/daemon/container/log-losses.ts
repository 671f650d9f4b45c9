/**
 * Output that a container wrote and its log does not have, or its remote did not get: counted per container, shown by
 * inspect (`LogLost`), told by `log_lost` events of the container, of which there is one for all losses of ten seconds.
 */
import * as path from 'node:path';
import type { LogLost } from '#api/types/container.ts';
import { messageOf } from '#errdefs/errors.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';
import { log } from '#pkg/log/log.ts';

const EVENT_INTERVAL_MS = 10_000;

interface Loss {
  lines: number;
  reason: string;
  at: string;
  /** Not told yet. */
  untold: number;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export interface LossWitness {
  readonly known: (id: string) => boolean;
  readonly publish: (id: string, attributes: Readonly<Record<string, string>>) => void;
}

export class LogLosses {
  readonly #witness: LossWitness;
  readonly #losses = new Map<string, Loss>();

  constructor(witness: LossWitness) {
    this.#witness = witness;
  }

  /** Of the log file, which lies in the container's directory. */
  ofFile(file: string, lines: number, reason: string): void {
    this.add(path.basename(path.dirname(file)), lines, reason);
  }

  add(id: string, lines: number, reason: string): void {
    if (lines === 0 || !this.#witness.known(id)) return;
    let loss = this.#losses.get(id);
    if (loss === undefined) {
      loss = { lines: 0, reason, at: '', untold: 0, timer: undefined };
      this.#losses.set(id, loss);
    }
    loss.lines += lines;
    loss.untold += lines;
    loss.reason = reason;
    loss.at = rfc3339(nowNs());
    if (loss.timer === undefined) this.#tell(id, loss);
  }

  #tell(id: string, loss: Loss): void {
    loss.timer = undefined;
    if (loss.untold === 0 || !this.#witness.known(id)) return;
    log.warn('lines of a log are lost', { container: id, lines: loss.untold, reason: loss.reason });
    try {
      this.#witness.publish(id, { lines: String(loss.untold), reason: loss.reason });
    } catch (error) {
      // The disk that has no room for the log may have none for the event.
      log.warn('an event is lost', { container: id, err: messageOf(error) });
    }
    loss.untold = 0;
    loss.timer = setTimeout(() => this.#tell(id, loss), EVENT_INTERVAL_MS);
    loss.timer.unref();
  }

  /** undefined: nothing is, since this daemon runs. */
  of(id: string): LogLost | undefined {
    const loss = this.#losses.get(id);
    return loss === undefined ? undefined : { Lines: loss.lines, Reason: loss.reason, At: loss.at };
  }

  forget(id: string): void {
    clearTimeout(this.#losses.get(id)?.timer);
    this.#losses.delete(id);
  }

  close(): void {
    for (const id of this.#losses.keys()) this.forget(id);
  }
}
