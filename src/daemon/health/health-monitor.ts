/**
 * Probes every running container that asks for it: one schedule for all, a probe of a container never overlaps the one
 * before, results go through the state machine of container/health.ts. A paused container is not probed.
 *
 * The schedule is kept on the monotonic clock and survives a restart of the daemon: state and the time of the last probe
 * are known, a probe that ran is ended by the driver's restore and counts for nothing.
 */
import type { HealthConfig } from '#api/types/container.ts';
import {
  afterProbe,
  type Health,
  type HealthPlan,
  healthPlanOf,
  nextProbeMs,
  type ProbeResult,
  startHealth,
} from '#container/health.ts';
import type { ContainerRecord } from '#container/record.ts';
import { messageOf } from '#errdefs/errors.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';
import { type Deadline, Deadlines } from '#pkg/deadlines/deadlines.ts';
import type { RunningProcess } from '#execdriver/driver.ts';
import { log } from '#pkg/log/log.ts';
import { processStat } from '#sys/processes.ts';
import { publishContainerEvent } from '../container/event.ts';
import type { LiveContainer } from '../container/live.ts';
import type { Services } from '../services.ts';
import type { HealthStates } from './health-states.ts';
import type { HealthWatch } from './health-watch.ts';
import { onUnhealthy } from './on-failure.ts';
import { runProbe } from './probe.ts';
import type { ProbeOutcome } from './probe-input.ts';
import { SocketPool } from './socket-pool.ts';

/** Probes that are being launched or run at the same time; the others wait their turn. */
const PROBES_MAX = 64;
/** A probe may come so much earlier or later, but not by more than a twentieth of its interval. */
const GRID_MS_MAX = 500;

interface Watched {
  readonly id: string;
  readonly live: LiveContainer;
  plan: HealthPlan;
  /** Monotonic. */
  readonly startedMs: number;
  due: Deadline | undefined;
  /** Aborted when the container is no longer watched. */
  readonly over: AbortController;
  probing: boolean;
}

export class HealthMonitor implements HealthWatch {
  readonly states: HealthStates;
  readonly #services: () => Services;
  readonly #deadlines: Deadlines;
  readonly #sockets = new SocketPool();
  readonly #watched = new Map<string, Watched>();
  readonly #waiting: Watched[] = [];
  #probing = 0;

  /** `services` are asked for once there is something to probe. */
  constructor(states: HealthStates, services: () => Services, deadlines: Deadlines = new Deadlines()) {
    this.states = states;
    this.#services = services;
    this.#deadlines = deadlines;
  }

  healthOf({ id, state }: Pick<ContainerRecord, 'id' | 'state'>): Health | undefined {
    const health = this.states.get(id);
    if (health === undefined || (state.status === 'running' && this.#watched.has(id))) return health;
    // As dockerd: nobody watches it, so nobody may take it for healthy.
    return { ...health, status: 'unhealthy' };
  }

  begin(
    record: ContainerRecord,
    live: LiveContainer,
    from: { readonly sinceStartMs: number; readonly restored: boolean },
  ): void {
    const plan = planOf(record.config.Healthcheck);
    if (plan === undefined) return;
    const { id } = record;
    this.end(id);
    const before = this.states.get(id);
    const health = from.restored && before !== undefined ? before : startHealth(before);
    const startedMs = this.#deadlines.now() - from.sinceStartMs;
    const watched: Watched = {
      ...{ id, live, plan, startedMs, over: new AbortController(), due: undefined, probing: false },
    };
    this.#watched.set(id, watched);
    this.states.set(id, health);
    const waitMs = nextProbeMs(health.status, plan, from.sinceStartMs);
    this.#plan(watched, from.restored ? leftOf(waitMs, health) : waitMs);
  }

  end(id: string): void {
    const watched = this.#watched.get(id);
    if (watched === undefined) return;
    this.#watched.delete(id);
    watched.due?.cancel();
    watched.over.abort();
    this.#sockets.drop(id);
    this.states.flush(id);
  }

  reconfigure(record: ContainerRecord): void {
    const live = this.#services().live.get(record.id);
    const watched = this.#watched.get(record.id);
    const plan = planOf(record.config.Healthcheck);
    live?.driver.forgetProbe(record.id);
    if (live === undefined) return;
    if (plan === undefined) {
      this.end(record.id);
      this.states.forget(record.id);
      return;
    }
    if (watched === undefined) {
      this.begin(record, live, { sinceStartMs: live.ranMs(), restored: false });
      return;
    }
    watched.plan = plan;
    if (watched.probing) return;
    watched.due?.cancel();
    this.#plan(watched, this.#waitMs(watched));
  }

  stop(): void {
    for (const id of [...this.#watched.keys()]) this.end(id);
    this.#deadlines.stop();
    this.states.flushAll();
  }

  #waitMs(watched: Watched): number {
    const status = this.states.get(watched.id)?.status ?? 'starting';
    return nextProbeMs(status, watched.plan, this.#deadlines.now() - watched.startedMs);
  }

  #plan(watched: Watched, waitMs: number): void {
    // Probes of many containers meet: ten in one awakening cost much less than ten on their own.
    const grid = Math.min(GRID_MS_MAX, waitMs / 10);
    const now = this.#deadlines.now();
    const due = grid < 1 ? now + waitMs : Math.round((now + waitMs) / grid) * grid;
    watched.due = this.#deadlines.in(due - now, () => this.#due(watched));
  }

  #due(watched: Watched): void {
    if (watched.over.signal.aborted) return;
    if (this.#services().containers.get(watched.id)?.state.status === 'paused') {
      return this.#plan(watched, this.#waitMs(watched));
    }
    if (this.#probing >= PROBES_MAX) {
      this.#waiting.push(watched);
      return;
    }
    this.#probing += 1;
    watched.probing = true;
    void this.#probe(watched).finally(() => {
      this.#probing -= 1;
      watched.probing = false;
      if (!watched.over.signal.aborted) this.#plan(watched, this.#waitMs(watched));
      const next = this.#waiting.shift();
      if (next !== undefined) this.#due(next);
    });
  }

  async #probe(watched: Watched): Promise<void> {
    const services = this.#services();
    const { id, plan, live } = watched;
    const record = services.containers.get(id);
    if (record === undefined) return;
    const sinceStartMs = this.#deadlines.now() - watched.startedMs;
    const start = rfc3339(nowNs());
    let outcome: ProbeOutcome;
    try {
      outcome = await runProbe({
        ...{
          services,
          record,
          live,
          plan,
          deadlines: this.#deadlines,
          sockets: this.#sockets,
          over: watched.over.signal,
        },
      });
    } catch (error) {
      outcome = { exitCode: -1, output: messageOf(error) };
    }
    if (watched.over.signal.aborted) return;
    // It failed because there is no container any more, and its exit is about to be told: nothing was learnt about it.
    if (outcome.exitCode !== 0 && hasEnded(live.process)) return;
    this.#result(watched, { start, end: rfc3339(nowNs()), ...outcome }, sinceStartMs);
  }

  #result(watched: Watched, result: ProbeResult, sinceStartMs: number): void {
    const services = this.#services();
    const record = services.containers.get(watched.id);
    const before = this.states.get(watched.id);
    if (record === undefined || before === undefined) return;
    const now = afterProbe(before, result, watched.plan, sinceStartMs);
    this.states.set(watched.id, now);
    if (now.status === before.status) return;
    log.info('health of a container changed', { container: watched.id, from: before.status, to: now.status });
    publishContainerEvent(services.events, record, `health_status: ${now.status}`);
    if (now.status === 'unhealthy') onUnhealthy(services, record, watched.live);
  }
}

/** Also before the exit has been handled. */
function hasEnded({ pid, startTicks }: RunningProcess): boolean {
  const stat = processStat(pid);
  return stat === undefined || stat.startTicks !== startTicks || stat.exiting;
}

/** A Healthcheck that create let through is one that can be read; one of an older daemon may not be. */
function planOf(config: HealthConfig | undefined): HealthPlan | undefined {
  try {
    return healthPlanOf(config);
  } catch (error) {
    log.warn('a healthcheck cannot be read', { err: messageOf(error) });
    return undefined;
  }
}

/** What is left of a wait that began when the last probe ended; the host's clock may have been set since. */
function leftOf(waitMs: number, { log: results }: Health): number {
  const last = results.at(-1);
  if (last === undefined) return waitMs;
  const passed = Date.now() - Date.parse(last.end);
  return passed < 0 || Number.isNaN(passed) ? waitMs : Math.max(0, waitMs - passed);
}
