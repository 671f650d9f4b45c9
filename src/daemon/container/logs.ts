/** `logs`: what the container's log driver kept, and further as it grows. */
import type { LogsInput } from '#api/jobs/container.ts';
import type { OutputStream } from '#api/jobs/streams.ts';
import type { ContainerRecord } from '#container/record.ts';
import { isRunningOrRestarting } from '#container/state.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import type { LogTarget } from '#logger/log-target.ts';
import type { Services } from '../services.ts';
import { logTargetOf } from './log-target.ts';
import { containersDirectory } from './paths.ts';

/** Errors: not-implemented for a container without a log that can be read. */
export async function containerLogs(services: Services, input: LogsInput, signal: AbortSignal): Promise<void> {
  const record = services.containers.resolve(input.container);
  if (!input.stdout && !input.stderr) {
    throw invalidParameter('Bad parameters: you must choose at least one stream');
  }
  const target = readableLog(services, record);
  const { Tty: tty } = record.config;
  const sink = input.open(tty);
  if (input.follow) sink.flush();
  await read(services, record, { input, target, sink, signal });
}

export function readableLog(services: Services, record: ContainerRecord): LogTarget {
  const target = logTargetOf(containersDirectory(services), record);
  if (target?.readable !== true) throw notImplemented('configured logging driver does not support reading');
  return target;
}

interface Reading {
  readonly input: LogsInput;
  readonly target: LogTarget;
  readonly sink: OutputStream;
  readonly signal: AbortSignal;
}

async function read(services: Services, record: ContainerRecord, reading: Reading): Promise<void> {
  const { input, target, sink } = reading;
  using ended = new RunEnd(services, record, input.follow);
  await services.logReader.read(
    {
      log: target,
      stdout: input.stdout,
      stderr: input.stderr,
      timestamps: input.timestamps,
      details: input.details,
      frames: record.config.Tty ? 'none' : input.mergeFrames ? 'merged' : 'line',
      sinceNs: input.since,
      untilNs: input.until,
      tail: input.tail,
      follow: input.follow ? { ended: ended.signal } : undefined,
      upTo: undefined,
      signal: AbortSignal.any([reading.signal, sink.closed]),
    },
    sink,
  );
}

/** Aborts when the container's run is over: following ends then. Of one that does not run it is over already. */
class RunEnd implements Disposable {
  readonly #controller = new AbortController();
  readonly #stop = new AbortController();

  constructor(services: Services, record: ContainerRecord, follow: boolean) {
    if (!follow) return;
    if (!isRunningOrRestarting(record.state)) this.#controller.abort();
    else void this.#watch(services, record.id);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** A restart by the policy goes on with the same log. */
  async #watch(services: Services, id: string): Promise<void> {
    try {
      for (;;) {
        await services.waiters.wait(id, 'next-exit', this.#stop.signal);
        const now = services.containers.get(id);
        if (now === undefined || !isRunningOrRestarting(now.state)) break;
      }
      this.#controller.abort();
    } catch {
      // The reader has gone: nobody waits any more.
    }
  }

  [Symbol.dispose](): void {
    this.#stop.abort(new Error('the reader has gone'));
  }
}
