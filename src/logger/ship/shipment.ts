/**
 * One container's output on its way to its remote: batches of lines are read from the log's files, encoded, sent, and the
 * place is noted after each. What fails is tried again with growing pauses, for as long as there is room in the files
 * (`bufferBytesMax`) or the driver's options say; then the oldest lines are left out, and counted.
 *
 * A line may be sent twice when the daemon or the connection dies between the sending and the note of it, never out of
 * order. A stream without answers (all but fluentd's with request-ack) may lose what the kernel had taken when the remote
 * dies.
 */
import { messageOf } from '#errdefs/errors.ts';
import { LogWatch } from '../log-watch.ts';
import { driverOf, type Driver } from './drivers.ts';
import { Position } from './position.ts';
import type { Shipped, ShipEvent } from './protocol.ts';
import type { Message } from './senders.ts';
import { Spool } from './spool.ts';

const BATCH_LINES = 512;
const BATCH_BYTES = 64 * 1024;
const RETRY_DELAY_MS_MAX = 30_000;
/** What is not sent so long after the container's removal is lost. */
const RELEASED_MS = 10_000;
/** How often it is looked whether the remote is behind. */
const LAG_CHECK_MS = 20;
const HOLD_AT = 0.5;
const GO_ON_AT = 0.25;

type Emit = (event: ShipEvent) => void;

export class Shipment {
  readonly #shipped: Shipped;
  readonly #emit: Emit;
  readonly #driver: Driver;
  readonly #stop = new AbortController();
  readonly #watch: LogWatch;
  readonly #opened = Promise.withResolvers<Spool>();
  #ending = false;
  #finished = false;
  #releasedMs = 0;
  #held = false;
  #failing = false;
  #checkedMs = 0;
  #position: Position | undefined;

  constructor(shipped: Shipped, emit: Emit) {
    this.#shipped = shipped;
    this.#emit = emit;
    this.#driver = driverOf(shipped.remote);
    this.#watch = new LogWatch(shipped.file.path);
  }

  /** Resolves when all was sent after `end`, or it was stopped. */
  async run(): Promise<void> {
    try {
      using position = new Position(this.#shipped.file.path);
      using spool = await Spool.open(this.#shipped.file, position.read());
      position.write(spool.sequence);
      position.setReachable(true);
      this.#position = position;
      this.#opened.resolve(spool);
      await this.#ship(spool, position);
    } catch (error) {
      this.#opened.reject(error);
      this.#emit({ type: 'remote', id: this.#shipped.id, error: messageOf(error) });
    } finally {
      this.#position = undefined;
      this.#watch[Symbol.dispose]();
      this.#driver.sender[Symbol.dispose]();
      this.#hold(false);
    }
  }

  /** Goes on with another run of the container; false when it has come to its end. */
  resume(): boolean {
    this.#ending = false;
    return !this.#finished && !this.#over;
  }

  end(): void {
    this.#ending = true;
    this.#watch.ring();
  }

  async release(): Promise<void> {
    const spool = await this.#opened.promise.catch(() => undefined);
    spool?.freeze();
    this.#releasedMs = performance.now();
    this.end();
  }

  stop(): void {
    this.#stop.abort();
    this.#watch.ring();
  }

  get #over(): boolean {
    return this.#stop.signal.aborted;
  }

  async #ship(spool: Spool, position: Position): Promise<void> {
    while (!this.#over) {
      // Asked before the last look: what was logged before the end is sent.
      const ending = this.#ending;
      await this.#keepUp(spool);
      const messages = await this.#batch(spool);
      if (messages.length > 0) {
        if (!(await this.#sendAll(spool, messages))) return;
        position.write(spool.sequence);
      } else if (ending && this.#ending) {
        this.#finished = true;
        return;
      } else {
        // All is sent: whoever is held back now would wait for ever, and we for it.
        this.#hold(false);
        await this.#watch.next();
      }
      this.#reportLost(spool, 'they were deleted before they could be sent');
    }
  }

  async #batch(spool: Spool): Promise<Message[]> {
    const messages: Message[] = [];
    let bytes = 0;
    let lost = 0;
    for (let lines = 0; lines < BATCH_LINES && bytes < BATCH_BYTES; lines++) {
      const line = await spool.next();
      if (line === undefined) break;
      const message = this.#driver.encode(line);
      if (message === 'lost') lost++;
      else if (message !== undefined) {
        messages.push(message);
        bytes += message.bytes.length;
      }
    }
    if (lost > 0) this.#lose(lost, 'they are too long for the protocol');
    return messages;
  }

  /** False when it was stopped. */
  async #sendAll(spool: Spool, messages: readonly Message[]): Promise<boolean> {
    const { retriesMax, retryDelayMs, sender } = this.#driver;
    for (let attempt = 1; !this.#over; attempt++) {
      try {
        await this.#sendWatched(spool, sender.send(messages));
        this.#works();
        return true;
      } catch (error) {
        this.#fails(error);
        if (this.#givenUp(spool, messages.length)) return false;
        if (retriesMax !== undefined && attempt > retriesMax) {
          this.#lose(messages.length, messageOf(error));
          return true;
        }
        await this.#trim(spool);
        await this.#pause(Math.min(retryDelayMs * 2 ** Math.min(attempt - 1, 10), RETRY_DELAY_MS_MAX));
      }
    }
    return false;
  }

  /** While a slow remote takes a batch, the container is held back when the buffer gets full. */
  async #sendWatched(spool: Spool, sending: Promise<void>): Promise<void> {
    const timer = setInterval(() => this.#checkLag(spool), LAG_CHECK_MS);
    const stopped = Promise.withResolvers<void>();
    const stop = () => stopped.resolve();
    this.#stop.signal.addEventListener('abort', stop);
    try {
      await Promise.race([sending, stopped.promise]);
    } finally {
      clearInterval(timer);
      this.#stop.signal.removeEventListener('abort', stop);
    }
  }

  #checkLag(spool: Spool): void {
    const { blocking, bufferBytesMax } = this.#shipped.remote;
    if (!blocking) return;
    const lag = spool.lagBytes();
    if (lag > bufferBytesMax * HOLD_AT && !this.#failing) this.#hold(true);
    else if (lag < bufferBytesMax * GO_ON_AT || this.#failing) this.#hold(false);
  }

  #hold(on: boolean): void {
    if (this.#held === on) return;
    this.#held = on;
    this.#emit({ type: 'pause', id: this.#shipped.id, on });
  }

  async #keepUp(spool: Spool): Promise<void> {
    const now = performance.now();
    if (now - this.#checkedMs < LAG_CHECK_MS) return;
    this.#checkedMs = now;
    if (this.#shipped.remote.blocking) this.#checkLag(spool);
    else await this.#trim(spool);
  }

  /** Nobody is held back: the oldest lines give way. */
  async #trim(spool: Spool): Promise<void> {
    const { bufferBytesMax } = this.#shipped.remote;
    if (spool.lagBytes() <= bufferBytesMax) return;
    await spool.skipTo(bufferBytesMax);
    this.#reportLost(spool, 'the buffer is full');
  }

  #reportLost(spool: Spool, reason: string): void {
    const lines = spool.takeLost();
    if (lines > 0) this.#lose(lines, reason);
  }

  #lose(lines: number, reason: string): void {
    this.#emit({ type: 'lost', id: this.#shipped.id, lines, reason });
  }

  #works(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.#position?.setReachable(true);
    this.#emit({ type: 'remote', id: this.#shipped.id, error: undefined });
  }

  #fails(error: unknown): void {
    this.#hold(false);
    if (this.#failing) return;
    this.#failing = true;
    this.#position?.setReachable(false);
    this.#emit({ type: 'remote', id: this.#shipped.id, error: messageOf(error) });
  }

  /** Of a container that is gone. */
  #givenUp(spool: Spool, batch: number): boolean {
    if (this.#releasedMs === 0 || performance.now() - this.#releasedMs < RELEASED_MS) return false;
    this.#lose(batch + spool.remainingLines(), 'the container was removed');
    return true;
  }

  async #pause(delayMs: number): Promise<void> {
    const limit = this.#releasedMs === 0 ? delayMs : Math.min(delayMs, RELEASED_MS / 10);
    const woken = Promise.withResolvers<void>();
    const wake = () => woken.resolve();
    const timer = setTimeout(wake, limit);
    this.#stop.signal.addEventListener('abort', wake);
    await woken.promise;
    clearTimeout(timer);
    this.#stop.signal.removeEventListener('abort', wake);
  }
}
