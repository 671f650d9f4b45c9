/**
 * One Worker for one archive that goes by: packs a directory piece by piece as it is asked for more, or unpacks the
 * pieces that it is given. It works only when a message comes, so whoever reads or writes sets the pace.
 */
import { BerthError, dataLoss, kindOf, messageOf } from '#errdefs/errors.ts';
import { close, open } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { createInflater, detectCompression } from './compression.ts';
import { packTree } from './pack.ts';
import { TarParser } from './parser.ts';
import type { StreamAnswer, StreamOrder } from './stream.ts';
import { isolateUmask, Unpacker } from './unpack.ts';

declare const self: Worker;

const PIECE_BYTES = 1 << 20;
/** Longer than any magic number. */
const HEAD_BYTES = 512;

type Handler = (order: StreamOrder) => StreamAnswer;

let handler: Handler | undefined;

self.onmessage = (event: MessageEvent<StreamOrder>) => {
  let answer: StreamAnswer;
  try {
    handler ??= begin(event.data);
    answer = handler(event.data);
  } catch (error) {
    answer = {
      kind: 'failed',
      error: error instanceof BerthError ? kindOf(error) : 'system',
      message: messageOf(error),
    };
  }
  if (answer.kind === 'piece') postMessage(answer, [answer.bytes.buffer]);
  else postMessage(answer);
};

function begin(order: StreamOrder): Handler {
  isolateUmask();
  if (order.kind === 'pack') return packing(order.directory);
  if (order.kind === 'unpack') return unpacking(order.directory);
  throw new Error(`a stream cannot begin with "${order.kind}"`);
}

function packing(directory: string): Handler {
  let root = open(directory, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  const pieces: Iterator<Buffer, undefined> = packTree({ root, whiteouts: 'none', prefix: './' });
  let rest: Buffer | undefined;
  return () => {
    const bytes = Buffer.allocUnsafeSlow(PIECE_BYTES);
    let length = 0;
    while (length < bytes.length) {
      const next: Buffer | undefined = rest ?? nextOf(pieces);
      if (next === undefined) break;
      const taken = next.copy(bytes, length);
      length += taken;
      rest = taken < next.length ? next.subarray(taken) : undefined;
    }
    if (length > 0) return { kind: 'piece', bytes: bytes.subarray(0, length) };
    // More may be asked for in advance than there is.
    if (root >= 0) close(root);
    root = -1;
    return { kind: 'done', entries: 0 };
  };
}

function nextOf(pieces: Iterator<Buffer, undefined>): Buffer | undefined {
  return pieces.next().value;
}

function unpacking(directory: string): Handler {
  const root = open(directory, O.PATH | O.DIRECTORY | O.NOFOLLOW);
  const unpacker = new Unpacker({ root, whiteouts: 'none' });
  const parser = new TarParser(unpacker);
  const output = Buffer.allocUnsafeSlow(PIECE_BYTES);
  let head: Buffer | undefined = Buffer.alloc(0);
  let inflater: ReturnType<typeof createInflater> | undefined;
  const start = (first: Buffer): ReturnType<typeof createInflater> => {
    head = undefined;
    const made = createInflater(detectCompression(first), output, (piece) => parser.push(piece));
    if (first.length > 0) made.push(first);
    return made;
  };
  const take = (piece: Buffer): void => {
    if (inflater !== undefined) {
      inflater.push(piece);
      return;
    }
    head = Buffer.concat([head ?? Buffer.alloc(0), piece]);
    if (head.length >= HEAD_BYTES) inflater = start(head);
  };
  return (order) => {
    if (order.kind === 'piece') {
      const { bytes } = order;
      take(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    }
    if (order.kind !== 'end') return { kind: 'more' };
    if (head?.length === 0) throw dataLoss('the archive is empty');
    (inflater ?? start(head ?? Buffer.alloc(0))).finish();
    parser.finish();
    unpacker.finish();
    unpacker[Symbol.dispose]();
    close(root);
    return { kind: 'done', entries: unpacker.counts.entries };
  };
}
