/** `berth why`: the ends of a container, put together when they happen and told when somebody asks. */
import type { Why, WhyEnding } from '#api/types/why.ts';
import type { Caller } from '#engine/engine.ts';
import * as fs from 'node:fs';
import { type Asked, classify } from '#container/ending.ts';
import type { ContainerRecord } from '#container/record.ts';
import { parseSignal } from '#container/signals.ts';
import { BerthError, kindOf, messageOf } from '#errdefs/errors.ts';
import type { ProcessExit } from '#execdriver/driver.ts';
import { nowNs, rfc3339, rfc3339OfDate } from '#pkg/clock/clock.ts';
import { log } from '#pkg/log/log.ts';
import { readableLog } from '../container/logs.ts';
import type { Services } from '../services.ts';

const LAST_LINES = 10;
const LAST_BYTES = 4096;

/** Ends only: a stop of one that does not run is none. */
export function noteAsked(
  services: Services,
  caller: Caller,
  verb: Asked['verb'],
  input: { readonly container: string; readonly signal?: string },
): void {
  let record: ContainerRecord;
  let signal: number;
  try {
    record = services.containers.resolve(input.container);
    signal = (input.signal ?? '') === '' ? (verb === 'kill' ? 9 : 0) : parseSignal(input.signal ?? '');
  } catch (error) {
    if (error instanceof BerthError) return; // the verb itself will say so
    throw error;
  }
  if (services.live.get(record.id) === undefined) return;
  const unhealthy = caller.source === 'health';
  services.endings.asked(record, { verb, signal, at: rfc3339(nowNs()), by: callerWords(caller), unhealthy });
}

function callerWords(caller: Caller): string {
  if (caller.source === 'health') return 'the engine, since it was unhealthy';
  if (caller.source !== 'api') return `the engine (${caller.source})`;
  const facts = [
    caller.pid === undefined ? '' : `pid ${caller.pid}`,
    caller.uid === undefined ? '' : `uid ${caller.uid}`,
    caller.remote ?? '',
  ].filter((fact) => fact !== '');
  const who = programOf(caller.pid) ?? caller.userAgent?.split(' ', 1)[0] ?? 'a client of the API';
  return facts.length === 0 ? who : `${who} (${facts.join(', ')})`;
}

function programOf(pid: number | undefined): string | undefined {
  if (pid === undefined) return undefined;
  try {
    return fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return undefined; // it has gone already
  }
}

/** Of a first process that has ended; its log must still be there. */
export async function keepEnding(
  services: Services,
  record: ContainerRecord,
  exit: ProcessExit,
  more: { readonly ranMs: number; readonly restartAfterMs: number | undefined },
): Promise<void> {
  const kept = services.endings.get(record.id);
  const finishedAt = rfc3339OfDate(exit.finishedAt);
  const { exitCode, signal, error = '' } = exit;
  const oom = kept?.oom;
  const { cause, summary } = classify({ exitCode, signal, error, finishedAt, asked: kept?.asked, oom });
  services.endings.ended(record, {
    StartedAt: record.state.startedAt,
    FinishedAt: finishedAt,
    RanMs: Math.round(more.ranMs),
    ExitCode: exitCode,
    Signal: signal,
    Cause: cause,
    Summary: summary,
    ...(oom === undefined ? {} : { OOM: oom }),
    LastLines: exitCode === 0 ? [] : await lastLines(services, record),
    ...(more.restartAfterMs === undefined ? {} : { RestartAfterMs: more.restartAfterMs }),
  });
}

/** The program of a container was never executed. */
export function keepFailedStart(services: Services, record: ContainerRecord, exitCode: number, message: string): void {
  const now = rfc3339(nowNs());
  services.endings.ended(record, {
    ...{ StartedAt: now, FinishedAt: now, RanMs: 0, ExitCode: exitCode, Signal: 0, LastLines: [] },
    Cause: 'start-failed',
    Summary: `it could not be started: ${message}`,
  });
}

async function lastLines(services: Services, record: ContainerRecord): Promise<string[]> {
  const chunks: Uint8Array[] = [];
  const never = new AbortController().signal;
  try {
    await services.logReader.read(
      {
        log: readableLog(services, record),
        ...{ stdout: true, stderr: true, timestamps: false, details: false, frames: 'none', tail: LAST_LINES },
        ...{ sinceNs: 0n, untilNs: 0n, follow: undefined, upTo: undefined, signal: never },
      },
      {
        write: (bytes) => {
          chunks.push(bytes.slice());
          return Promise.resolve();
        },
      },
    );
  } catch (error) {
    if (kindOf(error) !== 'not-implemented')
      log.debug('no last lines', { container: record.id, err: messageOf(error) });
    return [];
  }
  const text = Buffer.concat(chunks).subarray(-LAST_BYTES).toString().trimEnd();
  return text === '' ? [] : text.split(/\r?\n/);
}

/** Errors: not-found when there neither is nor was such a container. */
export function whyContainer(services: Services, reference: string): Why {
  const record = present(services, reference);
  if (record === undefined) {
    const kept = services.endings.findRemoved(reference);
    if (kept === undefined) services.containers.resolve(reference);
    return {
      ...{ Id: kept?.id ?? '', Name: `/${kept?.name ?? ''}`, Image: kept?.image ?? '', Status: 'removed' },
      ...{ RestartCount: 0, RemovedAt: kept?.removedAt ?? '', Endings: newestFirst(kept?.ends ?? []) },
    };
  }
  const { id, name, config, state, restartCount } = record;
  return {
    ...{ Id: id, Name: `/${name}`, Image: config.Image, Status: state.status, RestartCount: restartCount },
    Endings: newestFirst(services.endings.get(id)?.ends ?? []),
  };
}

function present(services: Services, reference: string): ContainerRecord | undefined {
  try {
    return services.containers.resolve(reference);
  } catch (error) {
    if (kindOf(error) === 'not-found') return undefined;
    throw error;
  }
}

const newestFirst = (ends: readonly WhyEnding[]): WhyEnding[] => [...ends].reverse();
