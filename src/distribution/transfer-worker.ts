/**
 * Fetches and unpacks layers, several at a time, off the main thread. It asks the main thread for credentials; it knows
 * no names and no stores, only a file and a directory for each job.
 */
import { BerthError, kindOf, messageOf } from '#errdefs/errors.ts';
import type { ArchiveResult } from '#pkg/archive/jobs.ts';
import { isolateUmask } from '#pkg/archive/unpack.ts';
import { ordinaryJit } from '#pkg/jit/jit.ts';
import type { SendContext } from '#registry/send.ts';
import { ignoreEnvironmentProxies } from '#registry/settings.ts';
import { fetchBlob } from './fetch-blob.ts';
import { LayerStream } from './layer-stream.ts';
import { ALIVE, type FromWorker, RECEIVED, type ToWorker, type TransferJob } from './transfer-messages.ts';

declare const self: Worker;

ordinaryJit();
isolateUmask();
// The proxies are the job's.
ignoreEnvironmentProxies();

interface Running {
  readonly abort: AbortController;
  /** The answer to a question for credentials; a stream has one connection that asks at a time. */
  readonly waiting: PromiseWithResolvers<string>[];
}

const running = new Map<number, Running>();

const tell = (message: FromWorker): void => self.postMessage(message);

self.onmessage = (event: MessageEvent<ToWorker>) => {
  const message = event.data;
  const known = running.get(message.id);
  switch (message.kind) {
    case 'start':
      void start(message.id, message.job, new Float64Array(message.shared));
      break;
    case 'cancel':
      known?.abort.abort();
      break;
    case 'authorization': {
      const { failure, value = '' } = message;
      const waiting = known?.waiting.shift();
      if (failure === undefined) waiting?.resolve(value);
      else waiting?.reject(new BerthError(failure.kind, failure.message));
      break;
    }
  }
};

async function start(id: number, job: TransferJob, shared: Float64Array): Promise<void> {
  const state: Running = { abort: new AbortController(), waiting: [] };
  running.set(id, state);
  try {
    tell({ kind: 'done', id, result: await transfer(id, job, shared, state) });
  } catch (error) {
    tell({ kind: 'failed', id, error: kindOf(error), message: messageOf(error) });
  } finally {
    running.delete(id);
  }
}

async function transfer(id: number, job: TransferJob, shared: Float64Array, state: Running): Promise<ArchiveResult> {
  using stream = new LayerStream(job);
  const alive = (): void => {
    shared[RECEIVED] = stream.size;
    shared[ALIVE] = (shared[ALIVE] ?? 0) + 1;
  };
  const { signal } = state.abort;
  await stream.replay(async () => {
    alive();
    await Bun.sleep(0);
    signal.throwIfAborted();
  });
  await fetchBlob({
    blob: job.blob,
    contexts: job.sources.map((_, source) => contextOf(id, job, source, state)),
    have: stream.size,
    rangesFrom: job.rangesFrom,
    attemptsMax: job.attemptsMax,
    take: (piece) => {
      stream.push(piece);
      alive();
    },
  });
  tell({ kind: 'received', id });
  return stream.finish();
}

function contextOf(id: number, job: TransferJob, source: number, state: Running): SendContext {
  const given = job.sources[source];
  if (given === undefined) throw new BerthError('system', `there is no source ${source}`);
  let current = given.authorization;
  return {
    endpoint: given.endpoint,
    proxies: job.proxies,
    signal: state.abort.signal,
    attemptsMax: job.attemptsMax,
    waiting: (seconds, reason) => tell({ kind: 'waiting', id, seconds, reason }),
    authorization: {
      current: () => current,
      answer: async (challenge, used) => {
        // Another connection of this job has asked meanwhile.
        if (current !== undefined && current !== used) return current;
        const waiting = Promise.withResolvers<string>();
        state.waiting.push(waiting);
        tell({ kind: 'authorize', id, source, challenge, used });
        current = await waiting.promise;
        return current;
      },
    },
  };
}
