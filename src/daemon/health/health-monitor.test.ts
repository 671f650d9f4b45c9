import { startTicks } from '#sys/processes.ts';
import { expect, test } from 'bun:test';
import type { HealthConfig } from '#api/types/container.ts';
import type { ContainerRecord } from '#container/record.ts';
import { newState } from '#container/state.ts';
import type { ProbeEnd } from '#execdriver/driver.ts';
import { type DeadlineClock, Deadlines } from '#pkg/deadlines/deadlines.ts';
import type { LiveContainer } from '../container/live.ts';
import { testRecord } from '../container/testing.ts';
import type { Services } from '../services.ts';
import { HealthMonitor } from './health-monitor.ts';
import { HealthStates } from './health-states.ts';

class FakeClock implements DeadlineClock {
  ms = 1_000_000;
  #timer: { at: number; call: () => void } | undefined;

  now(): number {
    return this.ms;
  }

  after(ms: number, call: () => void): () => void {
    const timer = { at: this.ms + ms, call };
    this.#timer = timer;
    return () => {
      if (this.#timer === timer) this.#timer = undefined;
    };
  }

  /** Lets what was started settle after each step of time. */
  async advance(ms: number): Promise<void> {
    const end = this.ms + ms;
    for (;;) {
      await settled();
      const timer = this.#timer;
      if (timer === undefined || timer.at > end) break;
      this.#timer = undefined;
      this.ms = Math.max(this.ms, timer.at);
      timer.call();
    }
    this.ms = end;
    await settled();
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 30; i++) await Promise.resolve();
}

const S = 1_000_000_000;

/** A daemon of one container whose probes end as `code` says; 'hangs' until it is killed. */
function stage(health: HealthConfig) {
  const clock = new FakeClock();
  const started: number[] = [];
  const actions: string[] = [];
  const puts: string[] = [];
  const show = { code: 0 as number | 'hangs', kills: 0, running: 0, most: 0 };
  const base = testRecord({ state: { ...newState, status: 'running' } });
  let record: ContainerRecord = { ...base, config: { ...base.config, Healthcheck: { Test: ['CMD', 'x'], ...health } } };
  const probe = () => {
    started.push(clock.ms);
    show.running += 1;
    show.most = Math.max(show.most, show.running);
    const { promise, resolve } = Promise.withResolvers<ProbeEnd>();
    const end = (exitCode: number): void => {
      show.running -= 1;
      resolve({ exitCode, output: Buffer.from('said'), more: false });
    };
    if (show.code !== 'hangs') end(show.code);
    const kill = (): void => {
      show.kills += 1;
      end(137);
    };
    return Promise.resolve({ ended: promise, drain: () => undefined, kill });
  };
  // as: the monitor asks nothing else of a running container.
  const live = {
    driver: { probe, forgetProbe: () => undefined },
    // A process that runs: a failure of one that has ended counts for nothing.
    process: { id: base.id, pid: process.pid, startTicks: startTicks(process.pid) },
  } as unknown as LiveContainer;
  // as: nor of the daemon.
  const services = {
    containers: { get: () => record },
    live: { get: () => live },
    events: { publish: (event: { action: string }) => actions.push(event.action) },
  } as unknown as Services;
  const db = { list: () => [], put: (_: string, id: string) => void puts.push(id), delete: () => undefined };
  const monitor = new HealthMonitor(new HealthStates(db), () => services, new Deadlines(clock));
  return {
    clock,
    started,
    actions,
    puts,
    show,
    monitor,
    begin: (restored = false, sinceStartMs = 0) => monitor.begin(record, live, { sinceStartMs, restored }),
    change: (next: Partial<ContainerRecord>) => {
      record = { ...record, ...next };
      return record;
    },
    status: () => monitor.healthOf(record)?.status,
    streak: () => monitor.healthOf(record)?.failingStreak,
  };
}

const health = (actions: readonly string[]): string[] => actions.filter((action) => action.startsWith('health_status'));

test('the first probe comes after the interval; states and events follow the results', async () => {
  const s = stage({ Interval: 10 * S, Retries: 2 });
  s.begin();
  await s.clock.advance(9_000);
  expect([s.started.length, s.status()]).toEqual([0, 'starting']);
  await s.clock.advance(2_000);
  expect([s.started.length, s.status()]).toEqual([1, 'healthy']);
  s.show.code = 1;
  await s.clock.advance(11_000);
  expect([s.status(), s.streak()]).toEqual(['healthy', 1]);
  await s.clock.advance(11_000);
  expect([s.status(), s.streak()]).toEqual(['unhealthy', 2]);
  s.show.code = 0;
  await s.clock.advance(11_000);
  expect(health(s.actions)).toEqual(['health_status: healthy', 'health_status: unhealthy', 'health_status: healthy']);
  // Only changes are worth a write.
  const before = s.puts.length;
  await s.clock.advance(100_000);
  expect(s.puts.length).toBe(before);
});

test('a probe that hangs is killed at its limit; the next one does not overlap it', async () => {
  const s = stage({ Interval: 1 * S, Timeout: 5 * S, Retries: 1 });
  s.show.code = 'hangs';
  s.begin();
  await s.clock.advance(5_000);
  expect([s.started.length, s.show.kills, s.status()]).toEqual([1, 0, 'starting']);
  await s.clock.advance(1_500);
  expect([s.show.kills, s.status()]).toEqual([1, 'unhealthy']);
  await s.clock.advance(30_000);
  expect(s.show.most).toBe(1);
  const [result] = s.monitor.healthOf(testRecord({ state: { ...newState, status: 'running' } }))?.log ?? [];
  expect(result).toMatchObject({ exitCode: -1, output: 'Health check exceeded timeout (5s): said' });
});

test('the start period: failures do not count and the start interval holds, until it is healthy', async () => {
  const s = stage({ Interval: 60 * S, StartInterval: 2 * S, StartPeriod: 30 * S, Retries: 1 });
  s.show.code = 1;
  s.begin();
  await s.clock.advance(20_000);
  expect(s.started.length).toBeGreaterThanOrEqual(8);
  expect([s.status(), s.streak()]).toEqual(['starting', 0]);
  s.show.code = 0;
  await s.clock.advance(3_000);
  expect(s.status()).toBe('healthy');
  const before = s.started.length;
  await s.clock.advance(50_000);
  expect(s.started.length).toBe(before);
});

test('a paused container is not probed and not taken for healthy; unpaused it goes on as it was', async () => {
  const s = stage({ Interval: 1 * S });
  s.begin();
  await s.clock.advance(3_000);
  s.change({ state: { ...newState, status: 'paused' } });
  const before = s.started.length;
  await s.clock.advance(10_000);
  expect([s.started.length, s.status()]).toEqual([before, 'unhealthy']);
  s.change({ state: { ...newState, status: 'running' } });
  expect(s.status()).toBe('healthy');
  await s.clock.advance(2_000);
  expect(s.started.length).toBeGreaterThan(before);
});

test('the end of the container ends its probe and the schedule; the next run starts anew', async () => {
  const s = stage({ Interval: 1 * S });
  s.begin();
  await s.clock.advance(2_500);
  s.show.code = 'hangs';
  await s.clock.advance(1_500);
  s.monitor.end(testRecord({}).id);
  await s.clock.advance(60_000);
  expect([s.show.kills, s.show.running, s.status()]).toEqual([1, 0, 'unhealthy']);
  s.begin();
  expect(s.status()).toBe('starting');
  s.monitor.stop();
});

test('after a restart of the daemon state and schedule go on; a new Healthcheck counts at once, none ends it', async () => {
  const s = stage({ Interval: 100 * S, Retries: 1 });
  s.begin();
  await s.clock.advance(106_000);
  expect(s.status()).toBe('healthy');
  s.begin(true, 106_000);
  expect(s.status()).toBe('healthy');
  const record = s.change({});
  s.show.code = 1;
  s.monitor.reconfigure(
    s.change({ config: { ...record.config, Healthcheck: { Test: ['CMD', 'y'], Interval: S, Retries: 1 } } }),
  );
  expect(s.status()).toBe('healthy');
  await s.clock.advance(2_000);
  expect(s.status()).toBe('unhealthy');
  s.monitor.reconfigure(s.change({ config: { ...record.config, Healthcheck: { Test: ['NONE'] } } }));
  const before = s.started.length;
  await s.clock.advance(10_000);
  expect([s.started.length, s.status()]).toEqual([before, undefined]);
});

test('probes of many containers meet, none is moved by more than a twentieth of its interval', async () => {
  const s = stage({ Interval: 5 * S });
  await s.clock.advance(123);
  const from = s.clock.ms;
  s.begin();
  await s.clock.advance(6_000);
  const [first = 0] = s.started;
  expect(Math.abs(first - from - 5_000)).toBeLessThanOrEqual(250);
  expect(first % 500).toBe(0);
});
