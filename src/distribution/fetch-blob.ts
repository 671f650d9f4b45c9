/**
 * The bytes of a blob in their order, whatever happens on the way: a connection that breaks is taken up where it broke,
 * a server that cannot is followed by the next, large blobs come in ranges over several connections. For Workers; the
 * digest is the reader's to check.
 */
import { cancelled, dataLoss, kindOf, messageOf, unavailable } from '#errdefs/errors.ts';
import { openBlob } from '#registry/blobs.ts';
import { pieces } from '#registry/body.ts';
import { RegistryError } from '#registry/failures.ts';
import { backoff, pause, type SendContext } from '#registry/send.ts';
import type { TransferBlob } from './transfer-messages.ts';

const RANGE_BYTES = 4 << 20;
const RANGES_AT_ONCE = 2;
/** A server that gives less than this between two breaks does not get anywhere. */
const PROGRESS_BYTES = 1 << 20;

export interface FetchOptions {
  readonly blob: TransferBlob;
  /** One for each server, in their order. */
  readonly contexts: readonly SendContext[];
  /** Bytes that are there already. */
  readonly have: number;
  readonly rangesFrom: number;
  readonly attemptsMax: number;
  /** Takes a piece before the next is asked for. */
  readonly take: (piece: Uint8Array) => void;
}

/** Errors: of the last server that was asked; cancelled; what `take` throws. */
export async function fetchBlob(options: FetchOptions): Promise<void> {
  const { blob, contexts, attemptsMax } = options;
  const { signal } = contexts[0] ?? {};
  const progress = { at: options.have };
  let failures = 0;
  let server = 0;
  // Ranges are given up at the first sign that the server does not know them.
  let inRanges = blob.size - options.have >= options.rangesFrom;
  while (progress.at < blob.size) {
    const context = contexts[server];
    if (context === undefined) throw unavailable(`no server has blob ${blob.digest}`);
    const before = progress.at;
    try {
      if (inRanges) inRanges = await takeRanges(context, options, progress);
      else await takeStream(context, options, progress);
    } catch (error) {
      if (signal?.aborted === true) throw cancelled('context canceled');
      if (error instanceof TakeFailure) throw error.reason;
      const hasNext = server + 1 < contexts.length;
      if (progress.at - before >= PROGRESS_BYTES) failures = 0;
      failures += 1;
      const hasGivenNothing = progress.at === before;
      // Patience is for the last: what another server may have is not waited for.
      if (passes(error) && failures < attemptsMax && !(hasNext && hasGivenNothing)) {
        await pause(context, progress.at - before >= PROGRESS_BYTES ? 0 : backoff(failures), messageOf(error));
      } else if (hasNext) {
        server += 1;
        failures = 0;
      } else throw error;
    }
  }
}

/** Whether the same may work a moment later. */
function passes(error: unknown): boolean {
  if (error instanceof RegistryError) return error.status >= 500 || error.status === 429 || error.status === 408;
  return kindOf(error) === 'unavailable' || kindOf(error) === 'deadline-exceeded';
}

/** What the reader found is not the connection's fault. */
class TakeFailure extends Error {
  readonly reason: unknown;

  constructor(reason: unknown) {
    super(messageOf(reason));
    this.reason = reason;
  }
}

function give(options: FetchOptions, progress: { at: number }, piece: Uint8Array): void {
  try {
    options.take(piece);
  } catch (error) {
    throw new TakeFailure(error);
  }
  progress.at += piece.length;
}

async function takeStream(context: SendContext, options: FetchOptions, progress: { at: number }): Promise<void> {
  const { blob } = options;
  const opened = await openBlob(context, blob, { offset: progress.at });
  let skip = progress.at - opened.offset;
  for await (const piece of pieces(opened.body, { what: opened.what, signal: context.signal })) {
    if (skip >= piece.length) {
      skip -= piece.length;
      continue;
    }
    give(options, progress, skip === 0 ? piece : piece.subarray(skip));
    skip = 0;
  }
  if (progress.at < blob.size) {
    throw unavailable(`${opened.what}: unexpected EOF after ${progress.at} of ${blob.size} bytes`);
  }
}

/** False when the server does not answer ranges: nothing but the first request is lost. */
async function takeRanges(context: SendContext, options: FetchOptions, progress: { at: number }): Promise<boolean> {
  const { blob } = options;
  const stop = new AbortController();
  const signal = context.signal === undefined ? stop.signal : AbortSignal.any([context.signal, stop.signal]);
  const own = { ...context, signal };
  const ahead: Promise<readonly Uint8Array[] | undefined>[] = [];
  let next = progress.at;
  // The first tells whether there are ranges at all.
  let atOnce = 1;
  try {
    while (progress.at < blob.size) {
      while (ahead.length < atOnce && next < blob.size) {
        const range = readRange(own, blob, next, Math.min(blob.size, next + RANGE_BYTES));
        range.catch(() => undefined);
        ahead.push(range);
        next += RANGE_BYTES;
      }
      const parts = await ahead.shift();
      if (parts === undefined) return false;
      atOnce = RANGES_AT_ONCE;
      for (const part of parts) give(options, progress, part);
    }
    return true;
  } finally {
    stop.abort();
  }
}

async function readRange(
  context: SendContext,
  blob: TransferBlob,
  offset: number,
  end: number,
): Promise<readonly Uint8Array[] | undefined> {
  const opened = await openBlob(context, blob, { offset, end });
  if (opened.offset !== offset || !opened.partial) {
    await opened.body?.cancel();
    return undefined;
  }
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const piece of pieces(opened.body, { what: opened.what, signal: context.signal })) {
    length += piece.length;
    if (length > end - offset) throw dataLoss(`${opened.what}: a range is longer than asked for`);
    parts.push(piece);
  }
  if (length < end - offset) throw unavailable(`${opened.what}: unexpected EOF in the range at ${offset}`);
  return parts;
}
