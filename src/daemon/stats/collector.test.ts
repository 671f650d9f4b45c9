import { describe, expect, test } from 'bun:test';
import type { ContainerStats } from '#api/types/stats.ts';
import { eventually } from '../../../test/support/command.ts';
import { StatsCollector, type StatsSource } from './collector.ts';
import { HostCpu, hostTotalNs } from './host-cpu.ts';
import { parseNetDev } from './interfaces.ts';
import { blkioOf, cpuOf, emptyStats, memoryOf, pidsOf } from './wire.ts';

const WINDOW = 80;

/** A container that uses a millisecond of processor each time somebody looks. */
class FakeSource implements StatsSource {
  now = 0;
  samples = 0;
  slept: number[] = [];
  startTicks = 1n;
  state: 'running' | 'stopped' | 'gone' = 'running';

  sample() {
    if (this.state !== 'running') return undefined;
    this.samples += 1;
    const stats = this.#frame();
    return { startTicks: this.startTicks, atMs: this.now, stats };
  }

  #frame(): ContainerStats<bigint> {
    const empty = emptyStats({ id: 'x', name: 'x' });
    const cpu_usage = { ...empty.cpu_stats.cpu_usage, total_usage: BigInt(this.samples) * 1_000_000n };
    return { ...empty, read: `read ${this.samples}`, cpu_stats: { ...empty.cpu_stats, cpu_usage } };
  }

  empty() {
    return this.state === 'gone' ? undefined : emptyStats({ id: 'x', name: 'x' });
  }

  windowMs = () => WINDOW;
  nowMs = () => this.now;
  sleep = async (ms: number) => {
    this.slept.push(ms);
    this.now += ms;
  };
}

const usages = (frame: ContainerStats<bigint> | undefined) => [
  Number(frame?.precpu_stats.cpu_usage.total_usage) / 1e6,
  Number(frame?.cpu_stats.cpu_usage.total_usage) / 1e6,
];

describe('one answer', () => {
  test('stands on two samples a window apart, the next on the one before', async () => {
    const source = new FakeSource();
    const collector = new StatsCollector(source);
    const first = await collector.once('x');
    expect([usages(first), first?.preread, first?.read]).toEqual([[1, 2], 'read 1', 'read 2']);
    expect(source.slept).toEqual([WINDOW]);
    source.now += 1000;
    expect(usages(await collector.once('x'))).toEqual([2, 3]);
    expect(source.slept).toEqual([WINDOW]);
    source.now += 6000;
    expect(usages(await collector.once('x'))).toEqual([4, 5]);
  });

  test('who asks at the same time gets the same', async () => {
    const source = new FakeSource();
    const collector = new StatsCollector(source);
    const [a, b] = await Promise.all([collector.once('x'), collector.once('x')]);
    expect(a).toBe(b as NonNullable<typeof b>);
    expect(source.samples).toBe(2);
  });

  test('a restarted process does not count from its predecessor', async () => {
    const source = new FakeSource();
    const collector = new StatsCollector(source);
    await collector.once('x');
    source.now += 500;
    source.startTicks = 2n;
    expect(usages(await collector.once('x'))[0]).toBe(0);
  });

  test('of a container that does not run: zeros; of none: nothing', async () => {
    const source = new FakeSource();
    const collector = new StatsCollector(source);
    source.state = 'stopped';
    expect((await collector.once('x'))?.memory_stats).toEqual({});
    expect(collector.oneShot('x')?.read).toBe('0001-01-01T00:00:00Z');
    source.state = 'gone';
    expect(await collector.once('x')).toBeUndefined();
    expect(source.samples).toBe(0);
  });

  test('one-shot has no earlier sample', () => {
    const collector = new StatsCollector(new FakeSource());
    expect(collector.oneShot('x')?.preread).toBe('0001-01-01T00:00:00Z');
  });
});

describe('streams', () => {
  test('share one collector, which ends with the last of them', async () => {
    const source = new FakeSource();
    const collector = new StatsCollector(source);
    const seen: ContainerStats<bigint>[][] = [[], []];
    const subscriptions = seen.map((frames) =>
      collector.subscribe('x', {
        emit: async (frame) => void frames.push(frame),
        end: () => undefined,
      }),
    );
    await eventually('frames come', () => seen.every((frames) => frames.length > 1), 5000);
    expect(collector.streams).toBe(1);
    expect(usages(seen[0]?.[0])).toEqual([1, 2]);
    expect(usages(seen[0]?.[1])).toEqual([2, 3]);
    expect(seen[1]?.[1]).toBe(seen[0]?.[1] as ContainerStats<bigint>);
    for (const subscription of subscriptions) subscription[Symbol.dispose]();
    expect(collector.streams).toBe(0);
  });

  test('a client that does not read misses frames and holds nobody up; the end of the container ends all', async () => {
    const source = new FakeSource();
    const collector = new StatsCollector(source);
    let slow = 0;
    let fast = 0;
    let ended = 0;
    collector.subscribe('x', {
      emit: () => {
        slow += 1;
        return new Promise(() => undefined);
      },
      end: () => (ended += 1),
    });
    collector.subscribe('x', {
      emit: async () => void (fast += 1),
      end: () => (ended += 1),
    });
    await eventually('frames come', () => fast >= 2, 5000);
    source.state = 'gone';
    await eventually('frames come', () => ended === 2, 5000);
    expect(slow).toBe(1);
    expect(collector.streams).toBe(0);
  });
});

test('the host: ticks once, then by the clock and the number of processors', () => {
  let now = 5_000_000_000n;
  const files: Record<string, string> = {
    '/proc/stat': 'cpu  1 2 3 4 5 6 7 100 100 100\ncpu0 1 2\n',
    '/sys/devices/system/cpu/online': '0-3\n',
  };
  const cpu = new HostCpu(
    () => now,
    (file) => files[file] ?? '',
  );
  expect(hostTotalNs(files['/proc/stat'] ?? '')).toBe(280_000_000n);
  expect(cpu.read()).toEqual({ systemNs: 280_000_000n, online: 4 });
  now += 1_000_000n;
  files['/proc/stat'] = 'unread';
  expect(cpu.read()).toEqual({ systemNs: 284_000_000n, online: 4 });
});

test('interfaces: all but the loopback, whatever they are called', () => {
  const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 18446744073709551615       2    3    4    0     0          0         0       5       6    7    8    0     0       0          0
  a:b0:       1       0    0    0    0     0          0         0       0       0    0    0    0     0       0          0
`;
  expect(parseNetDev(text)).toEqual({
    eth0: {
      rx_bytes: 18446744073709551615n,
      rx_packets: 2n,
      rx_errors: 3n,
      rx_dropped: 4n,
      tx_bytes: 5n,
      tx_packets: 6n,
      tx_errors: 7n,
      tx_dropped: 8n,
    },
    'a:b0': {
      rx_bytes: 1n,
      rx_packets: 0n,
      rx_errors: 0n,
      rx_dropped: 0n,
      tx_bytes: 0n,
      tx_packets: 0n,
      tx_errors: 0n,
      tx_dropped: 0n,
    },
  });
});

describe('both cgroup versions in the words of the API', () => {
  const host = { systemNs: 10n, online: 2 };
  const cpu = { usageNs: 3n, userNs: 2n, systemNs: 1n, periods: 4n, throttledPeriods: 5n, throttledNs: 6n };
  const io = {
    serviceBytes: [
      { major: 8, minor: 0, operation: 'read', value: 7n },
      { major: 8, minor: 0, operation: 'discard', value: 9n },
    ],
    serviced: [{ major: 8, minor: 0, operation: 'read', value: 1n }],
  };

  test('v2', () => {
    const stats = {
      version: 2,
      cpu,
      io,
      pids: { current: 1n },
      memory: {
        usageBytes: 50n,
        maxUsageBytes: 60n,
        failures: 2n,
        stat: { anon: 40n, workingset_refault_anon: 1n, workingset_refault_file: 2n, unknown_name: 1n },
      },
    } as const;
    expect(cpuOf(stats, host).cpu_usage.percpu_usage).toBeUndefined();
    expect(cpuOf(stats, host).throttling_data).toEqual({ periods: 4n, throttled_periods: 5n, throttled_time: 6n });
    const memory = memoryOf(stats, 1000);
    expect([memory.usage, memory.max_usage, memory.failcnt, memory.limit]).toEqual([50n, undefined, 2n, 1000n]);
    expect(memory.stats?.['anon']).toBe(40n);
    expect(memory.stats?.['workingset_refault']).toBe(3n);
    expect(memory.stats).not.toHaveProperty('unknown_name');
    expect(blkioOf(stats).io_service_bytes_recursive).toEqual([{ major: 8, minor: 0, op: 'read', value: 7n }]);
    expect(blkioOf(stats).io_serviced_recursive).toBeNull();
    expect(pidsOf(stats)).toEqual({ current: 1n, limit: 18446744073709551615n });
  });

  test('v1', () => {
    const stats = {
      version: 1,
      cpu: { ...cpu, perCpuNs: [1n, 2n] },
      io,
      pids: { current: 1n },
      memory: { usageBytes: 50n, maxUsageBytes: 60n, limitBytes: 70n, failures: 0n, stat: { total_rss: 40n } },
    } as const;
    expect(cpuOf(stats, host).cpu_usage.percpu_usage).toEqual([1n, 2n]);
    const memory = memoryOf(stats, 1000);
    expect([memory.max_usage, memory.failcnt, memory.limit]).toEqual([60n, undefined, 70n]);
    expect(Object.keys(memory.stats ?? {})).toHaveLength(32);
    expect(blkioOf(stats).io_queue_recursive).toEqual([]);
    expect(blkioOf(stats).io_serviced_recursive).toHaveLength(1);
    expect(pidsOf(stats)).toEqual({ current: 1n });
  });
});
