/** What /metrics says of each running container: what its cgroup has used, what its interfaces carried, how it is. */
import type { ContainerRecord } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { kindOf } from '#errdefs/errors.ts';
import type { CgroupPressure, CgroupStats } from '#libcontainer/cgroups/stats.ts';
import type { Labels, MetricsText } from '#pkg/openmetrics/openmetrics.ts';
import type { InterfaceStats } from '#api/types/stats.ts';
import { networkNameOf } from '../container/event.ts';
import type { Services } from '../services.ts';
import { interfacesOf } from '../stats/interfaces.ts';

export interface ContainerReading {
  readonly labels: Labels;
  readonly record: ContainerRecord;
  readonly stats: CgroupStats;
  readonly pressure: CgroupPressure;
  /** 'none' without a healthcheck. */
  readonly health: string;
  readonly interfaces: Readonly<Record<string, InterfaceStats<bigint>>>;
}

/** The main thread is given back after so many. */
const YIELD_EVERY = 10;
const SHORT_ID = 12;

export async function readContainers(services: Services): Promise<ContainerReading[]> {
  const readings: ContainerReading[] = [];
  let count = 0;
  for (const record of services.containers.all()) {
    if (!isRunning(record.state)) continue;
    const reading = readOne(services, record);
    if (reading !== undefined) readings.push(reading);
    count += 1;
    if (count % YIELD_EVERY === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return readings;
}

function readOne(services: Services, record: ContainerRecord): ContainerReading | undefined {
  const live = services.live.get(record.id);
  if (live === undefined) return undefined;
  const { name, id, config } = record;
  try {
    const cgroup = live.driver.cgroupOf(id);
    return {
      labels: { name, id: id.slice(0, SHORT_ID), image: config.Image },
      record,
      stats: cgroup.stats(),
      pressure: cgroup.pressure(),
      health: services.health.healthOf(record)?.status ?? 'none',
      interfaces: networkNameOf(record) === 'host' ? {} : interfacesOf(live.process),
    };
  } catch (error) {
    // It has ended between two lines.
    if (kindOf(error) === 'not-found') return undefined;
    throw error;
  }
}

type Readings = readonly ContainerReading[];
type Value = number | bigint | undefined;

export function writeContainers(out: MetricsText, readings: Readings): void {
  const each = (value: (reading: ContainerReading) => Value) =>
    readings.flatMap((reading) => {
      const found = value(reading);
      return found === undefined ? [] : [{ labels: reading.labels, value: found }];
    });
  const counter = (name: string, help: string, value: (reading: ContainerReading) => Value) =>
    out.counter(`berth_container_${name}`, help, each(value));
  const gauge = (name: string, help: string, value: (reading: ContainerReading) => Value) =>
    out.gauge(`berth_container_${name}`, help, each(value));

  counter('cpu_usage_seconds', 'Processor time used.', ({ stats }) => seconds(stats.cpu.usageNs));
  counter('cpu_user_seconds', 'Processor time used in user space.', ({ stats }) => seconds(stats.cpu.userNs));
  counter('cpu_system_seconds', 'Processor time used in the kernel.', ({ stats }) => seconds(stats.cpu.systemNs));
  counter('cpu_periods', 'Periods of the processor quota.', ({ stats }) => stats.cpu.periods);
  counter('cpu_throttled_periods', 'Periods that ended throttled.', ({ stats }) => stats.cpu.throttledPeriods);
  counter('cpu_throttled_seconds', 'Time spent throttled.', ({ stats }) => seconds(stats.cpu.throttledNs));
  gauge('memory_usage_bytes', 'Memory in use, caches included.', ({ stats }) => stats.memory.usageBytes);
  gauge('memory_working_set_bytes', 'Memory in use without inactive caches.', ({ stats }) => workingSet(stats));
  gauge('memory_limit_bytes', 'Memory limit, where there is one.', ({ stats }) => stats.memory.limitBytes);
  counter('memory_failures', 'How often the memory limit was hit.', ({ stats }) => stats.memory.failures);
  counter('oom_kills', 'Processes that the OOM killer ended.', ({ stats }) => stats.memory.oomKills);
  gauge('pids', 'Processes and threads.', ({ stats }) => stats.pids.current);
  gauge('pids_limit', 'Limit of processes and threads, where there is one.', ({ stats }) => stats.pids.limit);
  counter('restarts', 'Restarts by the policy.', ({ record }) => record.restartCount);
  gauge('start_time_seconds', 'When it started.', ({ record }) => Date.parse(record.state.startedAt) / 1000);
  writePressure(out, readings);
  writeIo(out, readings);
  writeNetwork(out, readings);
  out.gauge(
    'berth_container_health',
    'Whether the container has this health.',
    readings.flatMap(({ labels, health: now }) => {
      return ['none', 'starting', 'healthy', 'unhealthy'].map((health) => ({
        labels: { ...labels, health },
        value: health === now ? 1 : 0,
      }));
    }),
  );
}

const seconds = (ns: bigint): number => Number(ns) / 1e9;

function workingSet({ memory: { usageBytes, stat } }: CgroupStats): bigint {
  const cache = stat['total_inactive_file'] ?? stat['inactive_file'] ?? 0n;
  return cache < usageBytes ? usageBytes - cache : usageBytes;
}

/** cgroup v2 counts it; v1 does not. */
function writePressure(out: MetricsText, readings: Readings): void {
  out.counter(
    'berth_container_pressure_seconds',
    'Time in which some or all tasks waited for a resource.',
    readings.flatMap(({ labels, pressure }) =>
      Object.entries(pressure).flatMap(([resource, { someUs, fullUs }]) => [
        { labels: { ...labels, resource, tasks: 'some' }, value: Number(someUs) / 1e6 },
        ...(fullUs === undefined
          ? []
          : [{ labels: { ...labels, resource, tasks: 'all' }, value: Number(fullUs) / 1e6 }]),
      ]),
    ),
  );
}

function writeIo(out: MetricsText, readings: Readings): void {
  const entries = (list: 'serviceBytes' | 'serviced') =>
    readings.flatMap(({ labels, stats }) =>
      stats.io[list]
        .map((entry) => ({ ...entry, operation: entry.operation.toLowerCase() }))
        .filter(({ operation }) => operation === 'read' || operation === 'write')
        .map(({ major, minor, operation, value }) => ({
          labels: { ...labels, device: `${major}:${minor}`, operation },
          value,
        })),
    );
  out.counter('berth_container_io_bytes', 'Bytes read from and written to devices.', entries('serviceBytes'));
  out.counter('berth_container_io_operations', 'Operations on devices.', entries('serviced'));
}

function writeNetwork(out: MetricsText, readings: Readings): void {
  const entries = (received: keyof InterfaceStats, sent: keyof InterfaceStats) =>
    readings.flatMap(({ labels, interfaces }) =>
      Object.entries(interfaces).flatMap(([name, counts]) => [
        { labels: { ...labels, interface: name, direction: 'receive' }, value: counts[received] },
        { labels: { ...labels, interface: name, direction: 'transmit' }, value: counts[sent] },
      ]),
    );
  out.counter('berth_container_network_bytes', 'Bytes carried by interfaces.', entries('rx_bytes', 'tx_bytes'));
  out.counter('berth_container_network_packets', 'Packets carried.', entries('rx_packets', 'tx_packets'));
  out.counter('berth_container_network_errors', 'Packets with errors.', entries('rx_errors', 'tx_errors'));
  out.counter('berth_container_network_dropped', 'Packets dropped.', entries('rx_dropped', 'tx_dropped'));
}
