/**
 * stop, restart and kill: the wish is recorded before the signal, so that a restart policy does not undo it. A client
 * that goes away ends neither a stop's patience nor a restart half-way, as with dockerd.
 */
import { parseSignal } from '#container/signals.ts';
import type { ContainerRecord } from '#container/record.ts';
import { can, isRunning, moveTo } from '#container/state.ts';
import { conflict, invalidParameter, kindOf, messageOf, notModified, systemError } from '#errdefs/errors.ts';
import { rfc3339OfDate } from '#pkg/clock/clock.ts';
import type { Services } from '../services.ts';
import { publishContainerEvent } from './event.ts';
import { type LiveContainer, signalQuietly } from './live.ts';
import { thawForSignal } from './pause.ts';
import { startHeld } from './start.ts';

const SIGTERM = 15;
const SIGKILL = 9;
/** After SIGKILL; longer means that the kernel does not let go of the process. */
const KILL_LIMIT_MS = 30_000;

export interface StopInput {
  readonly container: string;
  readonly signal: string;
  readonly timeoutSeconds: number | undefined;
}

/** Errors: not-modified when it does not run. */
export async function stopContainer(services: Services, input: StopInput): Promise<void> {
  const { id } = services.containers.resolve(input.container);
  const stopSignal = input.signal === '' ? undefined : parseSignal(input.signal);
  services.live.cancelRestart(id);
  const live = await services.containers.run(id, (held) => {
    const { record } = held;
    if (record.state.status === 'restarting') {
      const finishedAt = record.state.finishedAt === '' ? rfc3339OfDate(new Date()) : record.state.finishedAt;
      const state = moveTo(record.state, { status: 'exited', finishedAt });
      held.note({ desired: 'stopped', manuallyStopped: true, state });
      return 'was-restarting' as const;
    }
    if (!can(record.state, 'stop')) throw notModified(`container ${id} is not running`);
    held.note({ desired: 'stopped', manuallyStopped: true });
    return services.live.get(id);
  });
  const record = services.containers.get(id);
  if (live !== undefined && live !== 'was-restarting' && record !== undefined) {
    const chosen = stopSignal ?? signalOf(record);
    await end(services, record, live, {
      signal: chosen,
      timeoutSeconds: timeoutOf(services, record, input),
    });
  }
  if (record !== undefined) publishContainerEvent(services.events, record, 'stop');
}

function signalOf(record: ContainerRecord): number {
  const own = record.config.StopSignal ?? '';
  return own === '' ? SIGTERM : parseSignal(own);
}

/** As dockerd: a container without a stop signal of its own is thawed by every signal, else by that one and SIGKILL. */
function endsIt(record: ContainerRecord, signal: number): boolean {
  return (record.config.StopSignal ?? '') === '' || signal === SIGKILL || signal === signalOf(record);
}

function timeoutOf(services: Services, record: ContainerRecord, input: StopInput): number {
  return input.timeoutSeconds ?? record.config.StopTimeout ?? services.settings.stopTimeoutSeconds;
}

interface Ending {
  readonly signal: number;
  /** -1: for ever. */
  readonly timeoutSeconds: number;
}

/** Signal, patience, SIGKILL; returns when the exit has been handled. */
async function end(services: Services, record: ContainerRecord, live: LiveContainer, ending: Ending): Promise<void> {
  const { id } = record;
  const { timeoutSeconds } = ending;
  publishContainerEvent(services.events, record, 'kill', { signal: String(ending.signal) });
  await signalQuietly(live.process, ending.signal);
  await thawForSignal(services, id);
  if (timeoutSeconds < 0) {
    await live.ended;
    return;
  }
  if (timeoutSeconds > 0 && (await endsWithin(services, live, timeoutSeconds * 1000))) return;
  if (timeoutSeconds === 0 && ending.signal === SIGKILL && (await endsWithin(services, live, KILL_LIMIT_MS))) return;
  publishContainerEvent(services.events, record, 'kill', { signal: String(SIGKILL) });
  await signalQuietly(live.process, SIGKILL);
  await thawForSignal(services, id); // somebody may have paused it meanwhile
  if (!(await endsWithin(services, live, KILL_LIMIT_MS))) {
    throw systemError(`cannot stop container: ${id}: it did not end within ${KILL_LIMIT_MS / 1000} seconds of SIGKILL`);
  }
}

async function endsWithin(services: Services, live: LiveContainer, ms: number): Promise<boolean> {
  const over = new AbortController();
  const late = services.tasks.sleep(ms, AbortSignal.any([over.signal, services.tasks.signal])).then(() => false);
  const ended = live.ended.then(() => true);
  const result = await Promise.race([ended, late]);
  over.abort();
  return result;
}

export async function restartContainer(services: Services, input: StopInput): Promise<void> {
  const { id } = services.containers.resolve(input.container);
  const stopSignal = input.signal === '' ? undefined : parseSignal(input.signal);
  services.live.cancelRestart(id);
  const live = services.live.get(id);
  const record = services.containers.get(id);
  if (live !== undefined && record !== undefined) {
    live.userRestart = true;
    const chosen = stopSignal ?? signalOf(record);
    await end(services, record, live, {
      signal: chosen,
      timeoutSeconds: timeoutOf(services, record, input),
    });
    publishContainerEvent(services.events, record, 'stop');
  }
  await services.containers.run(id, async (held) => {
    if (isRunning(held.record.state)) return;
    await startHeld(services, held, { signal: services.tasks.signal, byUser: true });
    publishContainerEvent(services.events, held.record, 'restart');
  });
}

function killSignalOf(reference: string, text: string): number {
  try {
    return parseSignal(text);
  } catch (cause) {
    throw invalidParameter(`cannot kill container: ${reference}: ${messageOf(cause)}`, { cause });
  }
}

/** Errors: conflict when it does not run. SIGKILL is waited for. */
export async function killContainer(services: Services, reference: string, signalText: string): Promise<void> {
  const signal = signalText === '' ? SIGKILL : killSignalOf(reference, signalText);
  const found = services.containers.resolve(reference);
  const { id } = found;
  const live = await services.containers.run(id, (held) => {
    const { record } = held;
    const running = services.live.get(id);
    // As dockerd: there is nothing to signal, but it does not start again.
    if (record.state.status === 'restarting' && running === undefined) {
      services.live.cancelRestart(id);
      const state = moveTo(record.state, { status: 'exited' });
      held.note({ desired: 'stopped', manuallyStopped: true, state });
      return undefined;
    }
    if (!can(record.state, 'kill') || running === undefined) {
      throw conflict(`cannot kill container: ${reference}: container ${id} is not running`);
    }
    if (signal === SIGKILL || signal === signalOf(record)) held.note({ desired: 'stopped', manuallyStopped: true });
    return running;
  });
  if (live === undefined) {
    publishContainerEvent(services.events, found, 'kill', { signal: String(signal) });
    return;
  }
  try {
    await live.process.signal(signal);
  } catch (error) {
    if (kindOf(error) !== 'not-found') throw error;
    throw conflict(`cannot kill container: ${reference}: container ${id} is not running`, { cause: error });
  }
  publishContainerEvent(services.events, found, 'kill', { signal: String(signal) });
  if (endsIt(found, signal)) await thawForSignal(services, id);
  if (signal === SIGKILL) await endsWithin(services, live, KILL_LIMIT_MS);
}

/**
 * The system goes down: all end by their stop signals, what depends on another before that one, else in parallel, and
 * count as running for the next boot.
 */
export async function stopAll(services: Services): Promise<void> {
  services.live.shuttingDown = true;
  for (const record of services.containers.all()) services.live.cancelRestart(record.id);
  const { bootGraph, dependents } = await import('../restore/boot-graph.ts');
  const above = dependents(bootGraph(services.containers.all()));
  const stops = new Map<string, Promise<void>>();
  const stop = (id: string): Promise<void> => {
    const known = stops.get(id);
    if (known !== undefined) return known;
    const work = (async () => {
      // The graph has no circles.
      await Promise.allSettled((above.get(id) ?? []).map(stop));
      await stopForShutdown(services, id);
    })();
    stops.set(id, work);
    return work;
  };
  await Promise.allSettled(services.live.all().map(([id]) => stop(id)));
}

async function stopForShutdown(services: Services, id: string): Promise<void> {
  const live = services.live.get(id);
  const record = services.containers.get(id);
  if (live === undefined || record === undefined) return;
  const timeoutSeconds = record.config.StopTimeout ?? services.settings.stopTimeoutSeconds;
  await end(services, record, live, { signal: signalOf(record), timeoutSeconds });
}
