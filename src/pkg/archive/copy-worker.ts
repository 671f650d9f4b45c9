/**
 * A Worker that packs and unpacks for clients. It never waits: a job does a piece of work for each message, so many jobs
 * share it and a client that stalls costs nothing but its own memory.
 */
import { BerthError, type ErrorKind, kindOf, messageOf } from '#errdefs/errors.ts';
import { ordinaryJit } from '#pkg/jit/jit.ts';
import { explainErrno } from './explain.ts';
import { type Compression, createInflater, detectCompression, type Inflater, MAGIC_BYTES } from './compression.ts';
import { LentSocket } from './lent-socket.ts';
import { packOne, packTree, PIECE_BYTES } from './pack.ts';
import { TarParser } from './parser.ts';
import type { FromWorker, PackOneJob, PackTreeJob, ToWorker, UnpackIntoJob } from './copy-jobs.ts';
import { isolateUmask, Unpacker, type UnpackCounts } from './unpack.ts';

interface Running extends Disposable {
  /** Of a packing job. True: it is through. */
  more?(memory: ArrayBuffer | undefined): boolean;
  /** Of a packing job: the rest of it. */
  writeTo?(socket: LentSocket, chunked: boolean): void;
  /** Of an unpacking job. */
  bytes?(piece: Buffer): void;
  end?(): UnpackCounts;
}

declare const self: Worker;

ordinaryJit();

const OUTPUT_BYTES = 1 << 20;
const SPARES_MAX = 8;

const running = new Map<number, Running>();
const spares: ArrayBuffer[] = [];
/** Inflated bytes are used up before the next message. */
const output = Buffer.allocUnsafeSlow(OUTPUT_BYTES);
/** Of a socket that was lent: what is read is used up before more is. */
const input = Buffer.allocUnsafeSlow(OUTPUT_BYTES);
const CHUNK_END = Buffer.from('\r\n');
let umaskIsOurs = false;

self.onmessage = (event: MessageEvent<ToWorker>) => {
  const message = event.data;
  try {
    take(message);
  } catch (error) {
    end(message.id);
    const [kind, text] = explained(error);
    post({ kind: 'failed', id: message.id, error: kind, message: text });
  }
};

function take(message: ToWorker): void {
  const { id } = message;
  if (message.kind === 'start') {
    if (!umaskIsOurs) isolateUmask();
    umaskIsOurs = true;
    running.set(id, message.job.kind === 'unpack-into' ? unpacking(message.job) : packing(id, message.job));
    return;
  }
  const job = running.get(id);
  if (message.kind === 'more') {
    if (job?.more?.(message.memory) === true) {
      end(id);
      post({ kind: 'done', id, counts: undefined });
    }
  } else if (message.kind === 'bytes') {
    // Of a job that has failed something may still come.
    job?.bytes?.(Buffer.from(message.memory, 0, message.length));
    post({ kind: 'taken', id, memory: message.memory }, [message.memory]);
  } else if (message.kind === 'end') {
    const counts = job?.end?.();
    end(id);
    if (job !== undefined) post({ kind: 'done', id, counts });
  } else if (message.kind === 'read-from') {
    using socket = new LentSocket(message.fd, message.stop);
    if (job === undefined) return;
    const take = (piece: Buffer): void => job.bytes?.(piece);
    socket.readBody(message.position, input, take, (rest) => post({ kind: 'rest', id, rest }));
    const counts = job.end?.();
    end(id);
    post({ kind: 'done', id, counts });
  } else if (message.kind === 'write-to') {
    using socket = new LentSocket(message.fd, message.stop);
    if (job === undefined) return;
    job.writeTo?.(socket, message.chunked);
    end(id);
    post({ kind: 'done', id, counts: undefined });
  } else {
    const had = running.has(id);
    end(id);
    if (had) post({ kind: 'failed', id, error: 'cancelled', message: 'copying was cancelled' });
  }
}

function end(id: number): void {
  const job = running.get(id);
  running.delete(id);
  job?.[Symbol.dispose]();
}

function post(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  self.postMessage(message, transfer);
}

function explained(error: unknown): [ErrorKind, string] {
  if (error instanceof BerthError) return [kindOf(error), messageOf(error)];
  return ['system', explainErrno(error) ?? messageOf(error)];
}

function packing(id: number, job: PackTreeJob | PackOneJob): Running {
  const memory = (): Buffer => Buffer.from(spares.pop() ?? new ArrayBuffer(PIECE_BYTES));
  const settings = { whiteouts: 'none', ids: job.ids, leaveOut: new Set(job.leaveOut), memory } as const;
  const pieces = job.kind === 'pack-tree' ? packTree({ ...job, ...settings }) : packOne({ ...job, ...settings });
  return {
    more: (used) => {
      if (used !== undefined && spares.length < SPARES_MAX) spares.push(used);
      const next = pieces.next();
      if (next.done === true) return true;
      // as: pieces are made from ArrayBuffers, here or by allocUnsafeSlow.
      const whole = next.value.buffer as ArrayBuffer;
      post({ kind: 'piece', id, memory: whole, length: next.value.length }, [whole]);
      return false;
    },
    writeTo: (socket, chunked) => {
      for (const piece of pieces) {
        if (chunked) socket.writeAll(Buffer.from(`${piece.length.toString(16)}\r\n`));
        socket.writeAll(piece);
        if (chunked) socket.writeAll(CHUNK_END);
        // as: pieces are made from ArrayBuffers.
        if (spares.length < SPARES_MAX) spares.push(piece.buffer as ArrayBuffer);
      }
    },
    // Closes what it has open.
    [Symbol.dispose]: () => void pieces.return(undefined),
  };
}

function unpacking(job: UnpackIntoJob): Running {
  const unpacker = new Unpacker({
    root: job.root,
    whiteouts: 'none',
    scope: { root: job.scopeRoot, path: job.path },
    into: job.rootToo === true ? undefined : job.refuse ? 'refuse' : 'replace',
    owner: job.owner,
    ids: job.ids,
  });
  const parser = new TarParser(unpacker);
  let inflater: Inflater | undefined;
  let head: Buffer = Buffer.alloc(0);
  const begin = (): Inflater => {
    const compression: Compression = detectCompression(head);
    // One at a time uses the buffer: an inflater gives what it has before it returns.
    return createInflater(compression, output, (piece) => parser.push(piece));
  };
  return {
    bytes: (piece) => {
      if (inflater !== undefined) {
        inflater.push(piece);
        return;
      }
      head = Buffer.concat([head, piece]);
      if (head.length < MAGIC_BYTES) return;
      inflater = begin();
      inflater.push(head);
      head = Buffer.alloc(0);
    },
    end: () => {
      if (inflater === undefined && head.length > 0) {
        inflater = begin();
        inflater.push(head);
      }
      inflater?.finish();
      parser.finish();
      unpacker.finish();
      return unpacker.counts;
    },
    [Symbol.dispose]: () => unpacker[Symbol.dispose](),
  };
}
