/**
 * A container's output on its way into its log: chunk by chunk through the journal and the encoder. Stdout and stderr of
 * one container share the log file; each has its own unfinished line. A log that cannot be written (a full disk) loses
 * lines and says so once; the container goes on.
 */
import { messageOf } from '#errdefs/errors.ts';
import { INPUT, type LogEncoder } from '#logger/json-file/encoder.ts';
import type { LogStream } from '#logger/json-file/format.ts';
import { LogFile, type JsonFileTarget } from '#logger/json-file/log-file.ts';
import type { Journal, Recovered, Slot } from './journal.ts';

/** What the Worker's threads of work have in common. */
export interface LogServices {
  readonly journal: Journal;
  readonly encoder: LogEncoder;
  /** A log has begun to fail, or is being written again. */
  readonly logFailed: (path: string, error: string | undefined) => void;
}

/** Everything that a later process needs to finish a chunk. */
interface Description {
  readonly target: JsonFileTarget;
  readonly stream: LogStream;
}

export class ContainerLog implements Disposable {
  readonly file: LogFile;
  readonly #services: LogServices;
  #failing = false;

  constructor(target: JsonFileTarget, services: LogServices) {
    this.file = new LogFile(target);
    this.#services = services;
  }

  /** Encodes what lies between two addresses of the encoder and appends it, from `consumed` on. */
  append(request: { stream: LogStream; consumed: number; end: number; final: boolean }): number {
    const { encoder } = this.#services;
    let at = INPUT + request.consumed;
    for (;;) {
      if (this.file.room <= 0) this.#rotate(at - INPUT);
      const { consumed, output } = encoder.encode({
        stream: request.stream,
        attrs: this.file.target.attrs,
        start: at,
        end: request.end,
        outputBytesMax: this.file.room,
        final: request.final,
      });
      if (consumed === at) return at;
      this.#write(output);
      at = consumed;
    }
  }

  #write(lines: Uint8Array): void {
    const { logFailed } = this.#services;
    try {
      this.file.append(lines);
      if (this.#failing) logFailed(this.file.target.path, undefined);
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) logFailed(this.file.target.path, messageOf(error));
      this.#failing = true;
    }
  }

  /** Progress is noted before and after: a later process sees by the inode on which side of the rename we died. */
  #rotate(consumed: number): void {
    const { journal, logFailed } = this.#services;
    this.file.refresh();
    if (this.file.room > 0) return;
    journal.progress({ consumed, size: this.file.size, ino: this.file.ino });
    try {
      this.file.rotate();
    } catch (error) {
      // The file that is open grows past its size; the next line tries again.
      logFailed(this.file.target.path, messageOf(error));
    }
    journal.progress({ consumed, size: this.file.size, ino: this.file.ino });
  }

  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
  }
}

/** One stream of one container. */
export class LogSink {
  readonly #log: ContainerLog;
  readonly #stream: LogStream;
  readonly #slot: Slot;
  readonly #services: LogServices;
  readonly #description: string;

  constructor(log: ContainerLog, stream: LogStream, slot: Slot, services: LogServices) {
    this.#log = log;
    this.#stream = stream;
    this.#slot = slot;
    this.#services = services;
    const description: Description = { target: log.file.target, stream };
    this.#description = JSON.stringify(description);
  }

  /** Bytes of an unfinished line, read but not logged yet. */
  get rest(): Uint8Array {
    return this.#services.journal.rest(this.#slot);
  }

  /**
   * Reads a chunk through the journal: `read` puts up to `length` bytes into the chunk (exactly that many if `exact`) and
   * returns their number, or ≤ 0 when there are none. The bytes stay in the chunk until the next one.
   */
  take(length: number, exact: boolean, read: (length: number) => number): number {
    const { journal } = this.#services;
    this.#begin(length, exact, false);
    const got = read(length);
    journal.arrived(Math.max(got, 0));
    if (got > 0) this.#encode(got, 0, false);
    journal.commit();
    return got;
  }

  /** The stream has ended: its unfinished line is written as it is. */
  finish(): number {
    const { journal } = this.#services;
    if (journal.rest(this.#slot).length > 0) {
      this.#begin(0, true, true);
      journal.arrived(0);
      this.#encode(0, 0, true);
      journal.commit();
    }
    journal.release(this.#slot);
    return 0;
  }

  #begin(length: number, exact: boolean, final: boolean): void {
    const { size, ino } = this.#log.file;
    this.#services.journal.begin({
      slot: this.#slot,
      description: this.#description,
      length,
      exact,
      final,
      progress: { consumed: 0, size, ino },
    });
  }

  #encode(length: number, consumed: number, final: boolean): void {
    const { journal, encoder } = this.#services;
    const rest = journal.rest(this.#slot);
    encoder.u8.set(rest, INPUT);
    encoder.u8.set(journal.chunk.subarray(0, length), INPUT + rest.length);
    const end = INPUT + rest.length + length;
    const at = this.#log.append({ stream: this.#stream, consumed, end, final });
    journal.setRest(this.#slot, encoder.u8.subarray(at, end));
  }

  /** Finishes the chunk that was in flight when an earlier process died. */
  static recover(services: LogServices, recovered: Recovered): string {
    // as: written by #begin of this class, in a file that only we write.
    const { target, stream } = JSON.parse(recovered.description) as Description;
    using log = new ContainerLog(target, services);
    const { progress } = recovered;
    // A different inode: we died between the rotation and the note of it, and the new file is empty.
    if (log.file.ino === progress.ino) log.file.cut(progress.size);
    new LogSink(log, stream, recovered.slot, services).#encode(recovered.length, progress.consumed, recovered.final);
    services.journal.commit();
    return target.path;
  }
}
