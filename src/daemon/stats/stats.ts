/** `GET /containers/{id}/stats`: from the driver, /proc and the record to the collector, and from it to the client. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { StatsInput } from '#api/jobs/stats.ts';
import type { HostConfig } from '#api/types/host-config.ts';
import type { ContainerRecord } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { kindOf } from '#errdefs/errors.ts';
import type { CgroupStats } from '#libcontainer/cgroups/stats.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';
import { networkNameOf } from '../container/event.ts';
import type { Services } from '../services.ts';
import { type Sample, StatsCollector, type StatsSource } from './collector.ts';
import { HostCpu } from './host-cpu.ts';
import { interfacesOf } from './interfaces.ts';
import { blkioOf, cpuOf, emptyStats, memoryOf, pidsOf } from './wire.ts';

type Wanted = Pick<Services, 'containers' | 'live' | 'host'>;

export function statsCollector(services: Wanted): StatsCollector {
  const hostCpu = new HostCpu();
  const source: StatsSource = {
    sample: (id) => sampleOf(services, hostCpu, id),
    empty: (id) => {
      const record = services.containers.get(id);
      return record === undefined ? undefined : emptyStats(record);
    },
    windowMs: (id) => windowMs(services.containers.get(id)?.hostConfig),
    sleep,
    nowMs: () => performance.now(),
  };
  return new StatsCollector(source);
}

function sampleOf(services: Wanted, hostCpu: HostCpu, id: string): Sample | undefined {
  const record = services.containers.get(id);
  const live = services.live.get(id);
  if (record === undefined || live === undefined || !isRunning(record.state)) return undefined;
  const atMs = performance.now();
  const read = rfc3339(nowNs());
  const host = hostCpu.read();
  let cgroup: CgroupStats;
  try {
    cgroup = live.driver.cgroupOf(id).stats();
  } catch (error) {
    // It has ended between two lines.
    if (kindOf(error) === 'not-found') return undefined;
    throw error;
  }
  const networks = hasOwnInterfaces(record) ? interfacesOf(live.process) : {};
  return {
    startTicks: live.process.startTicks,
    atMs,
    stats: {
      ...emptyStats(record),
      read,
      pids_stats: pidsOf(cgroup),
      blkio_stats: blkioOf(cgroup),
      cpu_stats: cpuOf(cgroup, host),
      memory_stats: memoryOf(cgroup, services.host.memoryBytes),
      ...(Object.keys(networks).length === 0 ? {} : { networks }),
    },
  };
}

/** Those of the host are not the container's. */
function hasOwnInterfaces(record: ContainerRecord): boolean {
  return record.config.NetworkDisabled !== true && networkNameOf(record) !== 'host';
}

/**
 * The kernel books a running process at each of its ticks, at most 10 ms apart (4 ms mostly), so a short window tells
 * little. Under a quota the window is a whole period: part of one would tell all or nothing.
 */
const WINDOW_MS = 80;
const PERIOD_US = 100_000;
const WINDOW_MAX_MS = 100;
const WINDOW_MIN_MS = 20;

function windowMs(host: Pick<HostConfig, 'NanoCpus' | 'CpuQuota' | 'CpuPeriod'> | undefined): number {
  if (host === undefined || (host.NanoCpus <= 0 && host.CpuQuota <= 0)) return WINDOW_MS;
  const periodMs = (host.CpuPeriod > 0 ? host.CpuPeriod : PERIOD_US) / 1000;
  return Math.min(WINDOW_MAX_MS, Math.max(WINDOW_MIN_MS, Math.ceil(WINDOW_MS / periodMs) * periodMs));
}

export async function containerStats(
  services: Pick<Services, 'containers'>,
  collector: StatsCollector,
  input: StatsInput,
  signal: AbortSignal,
): Promise<void> {
  const record = services.containers.resolve(input.container);
  input.accepted();
  if (input.mode === 'stream') return stream(collector, record.id, input.emit, signal);
  const frame = input.mode === 'once' ? await collector.once(record.id) : collector.oneShot(record.id);
  // It may be gone by now: then it does not run, which is what the client asked about.
  await input.emit(frame ?? emptyStats(record));
}

async function stream(
  collector: StatsCollector,
  id: string,
  emit: StatsInput['emit'],
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stop = (): void => resolve();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  using _subscription = collector.subscribe(id, {
    emit,
    end: (error) => {
      if (error === undefined) resolve();
      else reject(error instanceof Error ? error : new Error('the statistics ended', { cause: error }));
    },
  });
  try {
    await promise;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
