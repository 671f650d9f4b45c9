/** Entry of the searching thread. It yields after each block, to hear of cancellations and of clients that are slow. */
import { messageOf } from '#errdefs/errors.ts';
import { pread } from '#sys/files.ts';
import { openFiles } from '../files.ts';
import { LogFormats } from '../log-formats.ts';
import { type Found, Matcher } from './matcher.ts';
import type { SearchCommand, SearchedLog, Search, SearchEvent } from './protocol.ts';

declare const self: Worker;

/** Answers that nobody has taken yet. */
const UNTAKEN_MAX = 4;
/** Lines in an answer, about. */
const ANSWER_LINES = 2000;
/** Without a word for longer, a search is taken for one that hangs. */
const ALIVE_MS = 1000;

interface Running {
  cancelled: boolean;
  untaken: number;
  taken: (() => void) | undefined;
  saidMs: number;
}

const running = new Map<number, Running>();
const emit = (event: SearchEvent) => self.postMessage(event);

async function search(token: number, { logs, pattern, sinceNs, untilNs }: Search): Promise<void> {
  const state: Running = { cancelled: false, untaken: 0, taken: undefined, saidMs: performance.now() };
  running.set(token, state);
  try {
    const matcher = new Matcher(pattern);
    const block = Buffer.alloc(matcher.blockBytes);
    const bounds = { sinceNs, untilNs };
    for (const log of logs) if (!state.cancelled) await searchLog({ token, state, matcher, block, bounds, log });
    emit({ type: 'end', token, error: undefined });
  } catch (error) {
    emit({ type: 'end', token, error: messageOf(error) });
  } finally {
    running.delete(token);
  }
}

interface Work {
  readonly token: number;
  readonly state: Running;
  readonly matcher: Matcher;
  readonly block: Buffer;
  readonly bounds: Pick<Search, 'sinceNs' | 'untilNs'>;
  readonly log: SearchedLog;
}

const formats = new LogFormats();

async function searchLog(work: Work): Promise<void> {
  const { state, matcher, block, bounds, log } = work;
  const how = { stdout: true, stderr: true, timestamps: false, details: false, frames: 'none' } as const;
  const format = formats.of({ ...how, ...bounds, log: { ...log.log, attrs: '' } });
  const files = openFiles(log.log);
  try {
    for (const file of files) {
      await file.prepare();
      const size = file.size();
      let offset = bounds.sinceNs > 0n ? format.timeOffset(file.fd, size, bounds.sinceNs) : 0;
      const end = bounds.untilNs > 0n ? format.timeOffset(file.fd, size, bounds.untilNs, true) : size;
      while (offset < end && !state.cancelled) {
        const length = pread(file.fd, block, offset, Math.min(block.length, end - offset));
        if (length === 0) break;
        const piece = block.subarray(0, length);
        const { consumed, found } = log.log.driver === 'local' ? matcher.compact(piece) : matcher.json(piece);
        if (found.length > 0) await answer(work, found);
        if (consumed === 0 && length < block.length) break;
        // What is longer than a block is no line of ours.
        offset += consumed === 0 ? length : consumed;
        await new Promise((resolve) => setImmediate(resolve));
        if (performance.now() - state.saidMs > ALIVE_MS) say(work, new Uint8Array(0));
      }
    }
  } finally {
    for (const file of files) file[Symbol.dispose]();
  }
}

function say({ token, state }: Work, bytes: Uint8Array): void {
  state.saidMs = performance.now();
  emit({ type: 'found', token, bytes });
}

async function answer(work: Work, found: readonly Found[]): Promise<void> {
  const { state, log, bounds } = work;
  const about = { Container: log.container, Name: log.name, Removed: log.removed };
  for (let from = 0; from < found.length && !state.cancelled; from += ANSWER_LINES) {
    const lines = found
      .slice(from, from + ANSWER_LINES)
      .filter(({ Time }) => within(Time, bounds))
      .map((one) => `${JSON.stringify({ ...about, ...one })}\n`);
    if (lines.length === 0) continue;
    while (state.untaken >= UNTAKEN_MAX && !state.cancelled) {
      await new Promise<void>((resolve) => {
        state.taken = resolve;
      });
    }
    state.untaken++;
    say(work, Buffer.from(lines.join('')));
  }
}

/** A block or a record may hold lines on both sides of a bound. */
function within(time: string, { sinceNs, untilNs }: Work['bounds']): boolean {
  if (sinceNs === 0n && untilNs === 0n) return true;
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? '';
  const ns = BigInt(Date.parse(`${time.slice(0, 19)}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
  return ns >= sinceNs && (untilNs === 0n || ns <= untilNs);
}

self.onmessage = ({ data }: MessageEvent<SearchCommand>) => {
  if (data.op === 'search') void search(data.token, data.search);
  const state = running.get(data.token);
  if (state === undefined) return;
  if (data.op === 'more') state.untaken--;
  if (data.op === 'cancel') state.cancelled = true;
  state.taken?.();
};
