/**
 * Reading a container's log back (`docker logs`): the files of the set in order, from the last lines or from a time on,
 * and further as it grows. Memory does not depend on the log's size: a block is read, decoded and written before the
 * next, and a follower keeps one descriptor and an offset. Damaged lines are skipped and counted in our log.
 */
import { log } from '#pkg/log/log.ts';
import { pread } from '#sys/files.ts';
import { OpenFile, openFiles } from './files.ts';
import type { LogFileTarget } from './log-file.ts';
import { LogWatch } from './log-watch.ts';
import { type LogFormat, LogFormats } from './log-formats.ts';
import type { Rendering } from './rendering.ts';

export interface ReadLogsRequest extends Rendering {
  readonly log: Pick<LogFileTarget, 'driver' | 'path' | 'maxFiles' | 'attrs'>;
  /** Nanoseconds since the epoch, inclusive; 0n: no bound. */
  readonly sinceNs: bigint;
  readonly untilNs: bigint;
  /** Lines from the end, of both streams; -1: all. */
  readonly tail: number;
  /** Goes on until `ended` is aborted (the output has drained) and everything up to then is read. */
  readonly follow: { readonly ended: AbortSignal } | undefined;
  /** Reads up to here and no further: what a held output had logged. */
  readonly upTo: { readonly ino: string; readonly size: number } | undefined;
  /** The client has gone. */
  readonly signal: AbortSignal;
}

/** A line's time may be later than its file's by what a second is rounded up. */
const CLOCK_STEP_NS = 2_000_000_000n;

interface Reading extends ReadLogsRequest {
  readonly format: LogFormat;
  /** A follower may be asked for a time in the future: until then what is added is looked at, and no longer. */
  readonly since: { reached: boolean };
}

/** Where the output goes. `write` takes the bytes before it returns and resolves when there is room again. */
export interface Sink {
  write(bytes: Uint8Array): Promise<void>;
}

/** One decoder of each format serves every reader of the thread. */
export class LogReader {
  readonly #formats = new LogFormats();

  /** Resolves when everything asked for is written, or the client has gone. */
  async read(request: ReadLogsRequest, sink: Sink): Promise<void> {
    using wake = new Wake(request);
    const format = this.#formats.of(request);
    const files = openFiles(request.log);
    try {
      const offsets = request.tail < 0 ? files.map(() => 0) : await tailOffsets(format, files, request.tail);
      if (request.sinceNs > 0n) await skipOlder(format, files, offsets, request.sinceNs);
      const since = { reached: request.sinceNs === 0n || request.follow === undefined };
      await this.#readAll({ ...request, format, since }, sink, wake, files, offsets);
    } finally {
      for (const file of files) file[Symbol.dispose]();
    }
  }

  async #readAll(request: Reading, sink: Sink, wake: Wake, files: OpenFile[], offsets: number[]): Promise<void> {
    let offset = offsets[0] ?? 0;
    while (!request.signal.aborted) {
      const file = files[0];
      // Asked before the last look: what is logged before the end is read.
      const ended = request.follow === undefined || request.follow.ended.aborted;
      if (file !== undefined) {
        offset = await this.#readFile(request, sink, file, offset);
        if (offset < 0) return;
        if (files.length === 1) files.push(...newerFiles(request, file));
        if (files.length > 1) {
          // A line may have been added to the file after we had read it and before it was renamed.
          offset = await this.#readFile(request, sink, file, offset);
          if (offset < 0) return;
          files.shift()?.[Symbol.dispose]();
          offsets.shift();
          offset = offsets[0] ?? 0;
          wake.watch();
          continue;
        }
      } else {
        // The first line makes the file, and may be the last one as well.
        files.push(...openFiles(request.log));
        if (files.length > 0) continue;
      }
      if (ended) return;
      await wake.next();
    }
  }

  /** Writes what the file has from `from` on. Returns where it stopped, or -1 when nothing after it is wanted. */
  async #readFile(request: Reading, sink: Sink, file: OpenFile, from: number): Promise<number> {
    const { format } = request;
    await file.prepare();
    const { size, last } = boundOf(request, file);
    // Somebody has truncated the file: what it has now is new.
    let offset = from > file.size() ? 0 : from;
    if (!request.since.reached && offset < size) {
      const first = format.timeOffset(file.fd, size, request.sinceNs);
      offset = Math.max(offset, first);
      request.since.reached = first < size;
    }
    while (offset < size && !request.signal.aborted) {
      // The block and the output are shared by all readers: nothing is awaited between read and write, which takes the
      // bytes before it returns. What was not decoded is read again.
      const length = pread(file.fd, format.block, offset, Math.min(format.block.length, size - offset));
      if (length === 0) break;
      const { consumed, output, damaged } = format.decode(length);
      const tooLong = consumed === 0 && length === format.block.length;
      const at = tooLong ? length : consumed;
      if (damaged > 0 || tooLong) log.warn('skipped damaged lines of a log', { path: request.log.path, offset });
      if (output.length > 0) await sink.write(output);
      if (at === 0) break;
      offset += at;
      await yieldTurn();
    }
    return last ? -1 : offset;
  }
}

/** Up to where a file is read, and whether nothing after that is wanted. */
function boundOf(request: Reading, file: OpenFile): { size: number; last: boolean } {
  const size = file.size();
  if (request.upTo !== undefined && request.upTo.ino === String(file.ino)) {
    return { size: Math.min(size, request.upTo.size), last: true };
  }
  if (request.untilNs === 0n) return { size, last: false };
  const until = request.format.timeOffset(file.fd, size, request.untilNs, true);
  return { size: until, last: until < size };
}

function newerFiles(request: ReadLogsRequest, file: OpenFile): OpenFile[] {
  const newest = OpenFile.open(request.log.path);
  if (newest === undefined) return [];
  const same = newest.sameAs(file);
  newest[Symbol.dispose]();
  return same ? [] : openFiles(request.log, file);
}

/** Where the last `lines` lines of the whole set begin, per file; files that are not needed are closed and left out. */
async function tailOffsets(format: LogFormat, files: OpenFile[], lines: number): Promise<number[]> {
  const offsets: number[] = [];
  let left = lines;
  for (let i = files.length - 1; i >= 0; i--) {
    const file = files[i];
    if (file === undefined) continue;
    if (i < files.length - 1 && left === 0) {
      for (const older of files.splice(0, i + 1)) older[Symbol.dispose]();
      break;
    }
    await file.prepare();
    const found = format.tailOffset(file.fd, file.size(), left);
    offsets.unshift(found.offset);
    left -= found.lines;
    format.skip(found.skip);
  }
  return offsets;
}

async function skipOlder(format: LogFormat, files: OpenFile[], offsets: number[], sinceNs: bigint): Promise<void> {
  // A file that was written last before then need not be looked into; the newest may be written to any time.
  while (files.length > 1 && (files[0]?.changedNs ?? sinceNs) + CLOCK_STEP_NS < sinceNs) {
    files.shift()?.[Symbol.dispose]();
    offsets.shift();
    format.skip(0);
  }
  for (const [i, file] of files.entries()) {
    await file.prepare();
    const from = format.timeOffset(file.fd, file.size(), sinceNs);
    if (from > (offsets[i] ?? 0)) {
      offsets[i] = from;
      // What the last lines begin with is older than that.
      if (i === 0) format.skip(0);
    }
    // The files after it are newer.
    if (from < file.size()) break;
  }
}

/** Lets the event loop serve others between two blocks. */
function yieldTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Tells that a followed log has grown, was rotated, or has ended. */
class Wake implements Disposable {
  readonly #request: ReadLogsRequest;
  readonly #watch: LogWatch | undefined;

  constructor(request: ReadLogsRequest) {
    this.#request = request;
    if (request.follow === undefined) return;
    this.#watch = new LogWatch(request.log.path);
    request.follow.ended.addEventListener('abort', this.#ring);
    request.signal.addEventListener('abort', this.#ring);
  }

  readonly #ring = () => this.#watch?.ring();

  watch(): void {
    this.#watch?.again();
  }

  async next(): Promise<void> {
    const { follow, signal } = this.#request;
    if (!signal.aborted && follow?.ended.aborted !== true) await this.#watch?.next();
  }

  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
    this.#request.follow?.ended.removeEventListener('abort', this.#ring);
    this.#request.signal.removeEventListener('abort', this.#ring);
  }
}
