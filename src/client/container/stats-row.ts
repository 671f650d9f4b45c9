/** One line of `stats`: docker's figures from a frame of the API. */
import type { ContainerStats } from '#api/types/stats.ts';
import { binarySize, humanSize } from '#pkg/units/size.ts';
import { shortId } from '../format/human.ts';
import type { Row } from '../format/listing.ts';

const DIGITS = 3;

/** `frame` undefined: nothing is known yet. */
export function statsRow(
  container: { readonly id: string; readonly name: string; readonly asked?: string },
  frame: ContainerStats | undefined,
  whole: boolean,
): Row {
  const id = whole ? container.id : shortId(container.id);
  const named = { Container: container.asked ?? id, ID: id, Name: container.name };
  if (frame === undefined) {
    return {
      ...named,
      CPUPerc: '--',
      MemUsage: '-- / --',
      MemPerc: '--',
      NetIO: '--',
      BlockIO: '--',
      PIDs: '--',
    };
  }
  const used = memoryUsed(frame);
  const { limit = 0 } = frame.memory_stats;
  const [received, sent] = networkBytes(frame);
  const [read, written] = blockBytes(frame);
  return {
    ...named,
    CPUPerc: percent(cpuPercent(frame)),
    MemUsage: `${binarySize(used)} / ${binarySize(limit)}`,
    MemPerc: percent(limit === 0 ? 0 : (used / limit) * 100),
    NetIO: `${humanSize(received, DIGITS)} / ${humanSize(sent, DIGITS)}`,
    BlockIO: `${humanSize(read, DIGITS)} / ${humanSize(written, DIGITS)}`,
    PIDs: String(frame.pids_stats.current ?? 0),
  };
}

const percent = (value: number): string => `${value.toFixed(2)}%`;

/** 100 is one processor. */
export function cpuPercent({ cpu_stats: now, precpu_stats: before }: ContainerStats): number {
  const used = now.cpu_usage.total_usage - before.cpu_usage.total_usage;
  const all = (now.system_cpu_usage ?? 0) - (before.system_cpu_usage ?? 0);
  const processors = now.online_cpus ?? now.cpu_usage.percpu_usage?.length ?? 1;
  return used > 0 && all > 0 ? (used / all) * processors * 100 : 0;
}

/** Without the cache that the kernel would give back first. */
export function memoryUsed({ memory_stats: { usage = 0, stats = {} } }: ContainerStats): number {
  const cache = stats['total_inactive_file'] ?? stats['inactive_file'] ?? 0;
  return cache < usage ? usage - cache : usage;
}

function networkBytes({ networks = {} }: ContainerStats): [received: number, sent: number] {
  const all = Object.values(networks);
  return [all.reduce((sum, one) => sum + one.rx_bytes, 0), all.reduce((sum, one) => sum + one.tx_bytes, 0)];
}

function blockBytes({ blkio_stats: blkio }: ContainerStats): [read: number, written: number] {
  const sum = (operation: string) =>
    (blkio.io_service_bytes_recursive ?? [])
      .filter((entry) => entry.op.toLowerCase() === operation)
      .reduce((total, entry) => total + entry.value, 0);
  return [sum('read'), sum('write')];
}
