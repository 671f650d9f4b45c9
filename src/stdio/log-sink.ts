/**
 * A container's output on its way into its log: chunk by chunk through the journal and the encoder. Stdout and stderr of
 * one container share the log file; each has its own unfinished line. A log that cannot be written (a full disk) loses
 * lines and says so once; the container goes on.
 */
import { messageOf } from '#errdefs/errors.ts';
import { type Encoded, type EncodeRequest, INPUT, type LogEncoder } from '#logger/json-file/encoder.ts';
import type { LogStream } from '#logger/json-file/format.ts';
import type { CompactEncoder } from '#logger/local/encoder.ts';
import { sequenceOf } from '#logger/local/sequence.ts';
import { LogFile, type LogFileTarget } from '#logger/log-file.ts';
import { awaitedBy } from '#logger/ship/position.ts';
import type { Journal, Recovered, Slot } from './journal.ts';

/** What the Worker's threads of work have in common. */
export interface LogServices {
  readonly journal: Journal;
  readonly encoder: LogEncoder;
  /** Works in the other's memory. */
  readonly compact: CompactEncoder;
  readonly logFailed: (loss: LogLoss) => void;
  /** A full file has become the first of the rotated ones; it has the inode. */
  readonly rotated: (target: LogFileTarget, ino: bigint) => void;
}

/** Lines of a log were lost, or, without an error, none are any more. Counted since the last word about this log. */
export interface LogLoss {
  readonly path: string;
  readonly error: string | undefined;
  readonly lines: number;
  readonly bytes: number;
}

/** A log that goes on failing says so again after this time. */
const LOSS_REPORT_MS = 5000;
const NEWLINE = 10;
/**
 * A full file grows by so much at a time while its remote has yet to get what rotation would delete, and no further than
 * the limit: the container is held back meanwhile (shipment.ts), and if that fails the disk is worth more than the lines.
 */
const WAITING_STEP_BYTES = 256 << 10;
const WAITING_BYTES_MAX = 128 << 20;

/** Everything that a later process needs to finish a chunk. */
interface Description {
  readonly target: LogFileTarget;
  readonly stream: LogStream;
}

export class ContainerLog implements Disposable {
  readonly file: LogFile;
  readonly #services: LogServices;
  #failing = false;
  #lostLines = 0;
  #lostBytes = 0;
  #reportedMs = 0;
  /** Number of the next line; asked of the file when first needed. */
  #sequence = -1;
  /** Numbers of the first lines of the files of this log, the newest first, as far as this process has begun them. */
  readonly #starts: number[] = [];
  /** All before it was written by earlier processes. */
  #firstSequence = 0;

  constructor(target: LogFileTarget, services: LogServices) {
    this.file = new LogFile(target);
    this.#services = services;
  }

  /** Encodes what lies between two addresses of the encoder and appends it, from `consumed` on. */
  append(request: { stream: LogStream; consumed: number; end: number; final: boolean }): number {
    let at = INPUT + request.consumed;
    for (;;) {
      if (this.file.room <= 0) this.#rotate(at - INPUT);
      const encoded = this.#encode({
        stream: request.stream,
        attrs: this.file.target.attrs,
        start: at,
        end: request.end,
        outputBytesMax: this.file.room > 0 ? this.file.room : WAITING_STEP_BYTES,
        final: request.final,
        sequence: 0,
      });
      if (encoded.consumed === at) return at;
      this.#write(encoded);
      at = encoded.consumed;
    }
  }

  #encode(request: EncodeRequest): Encoded {
    const { encoder, compact } = this.#services;
    if (this.file.target.driver === 'json-file') return encoder.encode(request);
    if (this.#sequence < 0) {
      this.#sequence = sequenceOf(this.file.target);
      this.#firstSequence = this.#sequence;
    }
    return compact.encode({ ...request, sequence: this.#sequence });
  }

  #write(encoded: Encoded): void {
    const { output } = encoded;
    try {
      this.file.append(output);
      this.#sequence += encoded.lines ?? 0;
      if (this.#failing) this.#report(undefined);
      this.#failing = false;
    } catch (error) {
      this.#lostLines += encoded.lines ?? count(output, NEWLINE);
      this.#lostBytes += output.length;
      if (!this.#failing || performance.now() - this.#reportedMs > LOSS_REPORT_MS) this.#report(messageOf(error));
      this.#failing = true;
    }
  }

  #report(error: string | undefined): void {
    const loss = { path: this.file.target.path, error, lines: this.#lostLines, bytes: this.#lostBytes };
    this.#lostLines = 0;
    this.#lostBytes = 0;
    this.#reportedMs = performance.now();
    this.#services.logFailed(loss);
  }

  /** Progress is noted before and after: a later process sees by the inode on which side of the rename we died. */
  #rotate(consumed: number): void {
    const { journal, logFailed, rotated } = this.#services;
    this.file.refresh();
    if (this.file.room > 0 || this.#isAwaited()) return;
    journal.progress({ consumed, size: this.file.size, ino: this.file.ino });
    const full = this.file.ino;
    try {
      this.file.rotate();
      this.#starts.unshift(this.#sequence);
      this.#starts.length = Math.min(this.#starts.length, this.file.target.maxFiles);
      rotated(this.file.target, full);
    } catch (error) {
      // The file that is open grows past its size; the next line tries again.
      logFailed({ path: this.file.target.path, error: messageOf(error), lines: 0, bytes: 0 });
    }
    journal.progress({ consumed, size: this.file.size, ino: this.file.ino });
  }

  /** Whether the file that a rotation would delete has lines that the remote can take and has not got yet. */
  #isAwaited(): boolean {
    const { keepUnsent = false, path, maxFiles } = this.file.target;
    if (!keepUnsent || -this.file.room > WAITING_BYTES_MAX) return false;
    // What comes after the oldest file begins with this line.
    const kept = maxFiles === 1 ? this.#sequence : (this.#starts[maxFiles - 2] ?? this.#firstSequence);
    const awaited = awaitedBy(path);
    return awaited !== undefined && awaited < kept;
  }

  [Symbol.dispose](): void {
    if (this.#lostLines > 0) this.#report('the log has ended');
    this.file[Symbol.dispose]();
  }
}

function count(bytes: Uint8Array, wanted: number): number {
  let found = 0;
  for (const byte of bytes) if (byte === wanted) found++;
  return found;
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
