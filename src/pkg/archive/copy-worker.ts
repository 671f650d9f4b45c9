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
import { open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { TarParser, type TarSink } from './parser.ts';
import type { FromWorker, KeepJob, PackOneJob, PackTreeJob, StreamJob, ToWorker, UnpackIntoJob } from './copy-jobs.ts';
import { KeptIndex } from './kept/kept-index.ts';
import { KeptReceiver, type KeptSummary } from './kept/receive.ts';
import { isolateUmask, Unpacker, type UnpackCounts } from './unpack.ts';

interface Running extends Disposable {
  /** Of a packing job. True: it is through. */
  more?(memory: ArrayBuffer | undefined): boolean;
  /** Of a packing job: the rest of it. */
  writeTo?(socket: LentSocket, chunked: boolean): void;
  /** Of an unpacking job. */
  bytes?(piece: Buffer): void;
  end?(): UnpackCounts | KeptSummary;
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
    running.set(id, runningOf(id, message.job));
    return;
  }
  const job = running.get(id);
  if (message.kind === 'more') {
    if (job?.more?.(message.memory) === true) {
      end(id);
      post({ kind: 'done', id, result: undefined });
    }
  } else if (message.kind === 'bytes') {
    // Of a job that has failed something may still come.
    job?.bytes?.(Buffer.from(message.memory, 0, message.length));
    post({ kind: 'taken', id, memory: message.memory }, [message.memory]);
  } else if (message.kind === 'end') {
    const result = job?.end?.();
    end(id);
    if (job !== undefined) post({ kind: 'done', id, result });
  } else if (message.kind === 'read-from') {
    using socket = new LentSocket(message.fd, message.stop);
    if (job === undefined) return;
    const take = (piece: Buffer): void => job.bytes?.(piece);
    socket.readBody(message.position, input, take, (rest) => post({ kind: 'rest', id, rest }));
    const result = job.end?.();
    end(id);
    post({ kind: 'done', id, result });
  } else if (message.kind === 'write-to') {
    using socket = new LentSocket(message.fd, message.stop);
    if (job === undefined) return;
    job.writeTo?.(socket, message.chunked);
    end(id);
    post({ kind: 'done', id, result: undefined });
  } else {
    const had = running.has(id);
    end(id);
    if (had) post({ kind: 'failed', id, error: 'cancelled', message: 'copying was cancelled' });
  }
}

function runningOf(id: number, job: StreamJob): Running {
  if (job.kind === 'unpack-into') return unpacking(job);
  return job.kind === 'keep' ? keeping(job) : packing(id, job);
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
  return taking(unpacker, () => {
    unpacker.finish();
    return unpacker.counts;
  });
}

function keeping(job: KeepJob): Running {
  const base = (): KeptIndex | undefined => (job.base === '' ? undefined : KeptIndex.read(job.base));
  const receiver = new KeptReceiver({ ...job, base });
  return taking(receiver, () =>
    receiver.finish(job.index, () => ownedFd(open(job.spare, O.RDWR | O.CREAT | O.EXCL | O.NOFOLLOW, 0o600))),
  );
}

/** An archive in any compression. `finish`: all of it has come. */
function taking(sink: TarSink & Disposable, finish: () => UnpackCounts | KeptSummary): Running {
  const parser = new TarParser(sink);
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
      return finish();
    },
    [Symbol.dispose]: () => sink[Symbol.dispose](),
  };
}
