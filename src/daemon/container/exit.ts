/**
 * The end of a container's first process, in the order that clients rely on (ARCHITECTURE.md, "The way of a run"): output
 * drained → state recorded → `die` event and waiters → network → restart policy or removal → cgroups and directories.
 * Answers go out before anything is taken down that only costs time.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ExecDriver, ProcessExit, RunningProcess } from '#execdriver/driver.ts';
import type { ContainerRecord } from '#container/record.ts';
import { backoffOf } from '#container/extension-labels.ts';
import { nextRestart } from '#container/restart-policy.ts';
import { moveTo } from '#container/state.ts';
import { rfc3339OfDate } from '#pkg/clock/clock.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import { releaseEndpoints } from '../network/endpoints.ts';
import { refreshLinkRules } from '../network/link-rules.ts';
import type { Services } from '../services.ts';
import type { Held } from './containers.ts';
import { publishContainerEvent, publishNetworkEvent, publishVolumesUnmounted } from './event.ts';
import { tellOom, watchOom } from '../why/oom.ts';
import { keepEnding } from '../why/why.ts';
import type { LiveContainer } from './live.ts';
import { releaseMounts } from './mounts.ts';
import { dropSharedMemory } from './shared-namespaces.ts';
import { ranSince, ranUntil } from './ran.ts';
import { removeHeld } from './remove.ts';
import { policyRestart } from './policy-restart.ts';

/** Takes a started (or, after a restart of the daemon, found) process into the daemon's care. */
export function adopt(
  services: Services,
  record: ContainerRecord,
  driver: ExecDriver,
  process: RunningProcess,
  /** Found running at the start of the daemon. */
  restored = false,
): LiveContainer {
  const { id } = record;
  const output = services.consoles.begin(record, process);
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const since = performance.now() - (restored ? ranSince(process.startTicks) : 0);
  const ranMs = (): number => performance.now() - since;
  const live: LiveContainer = {
    process,
    driver,
    ended,
    ranMs,
    userRestart: false,
    launches: new Set(),
    pausing: false,
    oomKills: restored ? (services.endings.get(id)?.oom?.Kills ?? 0) : 0,
    oomWatch: undefined,
  };
  services.live.set(id, live);
  live.oomWatch = watchOom(services, record, live);
  if (!restored) services.endings.begun(record);
  services.health.begin(record, live, { sinceStartMs: live.ranMs(), restored });
  services.tasks.spawn(
    'exit',
    async (signal) => {
      const exit = await services.tasks.unlessStopped(process.exited, signal);
      if (exit === undefined) return;
      try {
        await output.drain();
        failpoint('exit.drained');
        await services.containers.run(id, (held) => handleExit(services, held, live, exit));
      } finally {
        resolve();
      }
    },
    { container: id },
  );
  return live;
}

async function handleExit(services: Services, held: Held, live: LiveContainer, exit: ProcessExit): Promise<void> {
  const { record } = held;
  const { id } = record;
  const ranMs = ranUntil(record.state.startedAt, exit.finishedAt, live.ranMs());
  const restart =
    live.userRestart || services.live.shuttingDown
      ? undefined
      : nextRestart({
          policy: record.hostConfig.RestartPolicy,
          exitCode: exit.exitCode,
          restartCount: record.restartCount,
          manuallyStopped: record.manuallyStopped,
          ranMs,
          previousBackoffMs: record.backoffMs ?? 0,
          backoff: backoffOf(record.config.Labels, record.restartBackoff),
        });
  const recorded = held.note({
    state: exitedState(record, exit, restart === undefined ? 'exited' : 'restarting'),
    endpoints: [],
    ...(restart === undefined ? {} : { restartCount: record.restartCount + 1, backoffMs: restart.waitMs }),
    ...(restart === undefined && !services.live.shuttingDown ? { desired: 'stopped' as const } : {}),
  });
  failpoint('exit.recorded');
  services.live.delete(id);
  services.health.end(id);
  live.oomWatch?.[Symbol.dispose]();
  tellMissedOom(services, record, live, exit);
  publishExit(services, record, exit, ranMs);
  services.consoles.end(id);
  services.waiters.exited(id, { exitCode: exit.exitCode, error: exit.error ?? '' });
  services.names.end(id);
  services.names.changed(services);
  refreshLinkRules(services);
  await releaseEndpoints(services, record);
  await releaseMounts(services, record);
  if (record.hostConfig.IpcMode === 'shareable') dropSharedMemory(services, id);
  await keepEnding(services, record, exit, { ranMs, restartAfterMs: restart?.waitMs });
  // What is not recorded must be found again by the next start.
  const release = async () => (recorded ? live.driver.release(id) : undefined);
  if (restart === undefined && record.hostConfig.AutoRemove && !live.userRestart) {
    await removeHeld(services, held, { volumes: true, release });
    return;
  }
  await nextTurn();
  await services.turns.take();
  await release();
  if (restart !== undefined) planRestart(services, id, restart.waitMs);
}

/** One that nobody watched for (no limit of its own), or that came with the end. */
function tellMissedOom(services: Services, record: ContainerRecord, live: LiveContainer, exit: ProcessExit): void {
  if (!exit.oomKilled) return;
  try {
    tellOom(services, record, live);
  } catch (error) {
    log.warn('what ran out of memory is not known', { container: record.id, err: error });
    if (live.oomKills === 0) publishContainerEvent(services.events, record, 'oom');
  }
}

export function exitedState(
  record: ContainerRecord,
  exit: ProcessExit,
  status: 'exited' | 'restarting',
): ContainerRecord['state'] {
  return moveTo(record.state, {
    status,
    pid: 0,
    startTicks: '',
    exitCode: exit.exitCode,
    error: exit.error ?? '',
    oomKilled: exit.oomKilled || record.state.oomKilled,
    finishedAt: rfc3339OfDate(exit.finishedAt),
  });
}

export function publishExit(services: Services, record: ContainerRecord, exit: ProcessExit, ranMs: number): void {
  for (const endpoint of record.endpoints) publishNetworkEvent(services, record, endpoint, 'disconnect');
  publishVolumesUnmounted(services.events, record);
  publishContainerEvent(services.events, record, 'die', {
    exitCode: String(exit.exitCode),
    execDuration: String(Math.max(0, Math.trunc(ranMs / 1000))),
  });
}

export interface RestartTurn {
  /** Waited for after the wait. */
  ready(id: string, signal: AbortSignal): Promise<void>;
  /** It has been started, or will not be. */
  started(id: string): void;
}

/** Starts it again after a while, unless somebody starts, stops or removes it before. */
export function planRestart(services: Services, id: string, waitMs: number, turn?: RestartTurn): void {
  if (services.live.heldRestarts !== undefined) {
    services.live.heldRestarts.set(id, waitMs);
    return;
  }
  const cancelled = services.live.planRestart(id);
  services.tasks.spawn(
    'restart',
    async (signal) => {
      const either = AbortSignal.any([cancelled, signal]);
      try {
        if (!(await services.tasks.sleep(waitMs, either))) return;
        await turn?.ready(id, either);
        if (either.aborted) return;
        await services.engine.run(policyRestart, { container: id }, { caller: { source: 'restart-policy' }, signal });
      } finally {
        turn?.started(id);
      }
    },
    { container: id },
  );
}
