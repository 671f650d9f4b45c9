/**
 * For how long a process has run, without asking the host's clock, which may be set at any time: by the kernel's count
 * of ticks since boot.
 */
import * as fs from 'node:fs';

/** USER_HZ: part of the kernel's ABI, 100 on every architecture that we run on. */
const MS_PER_TICK = 10;

/** Preconditions: `startTicks` is of this boot. */
export function ranSince(startTicks: bigint): number {
  const uptimeMs = Number(fs.readFileSync('/proc/uptime', 'utf8').split(' ', 1)[0]) * 1000;
  return Math.max(0, uptimeMs - Number(startTicks) * MS_PER_TICK);
}

/**
 * Of one that ended: `mostMs` is what it would be if it ended just now. The recorded times say better when the end was
 * seen late (no daemon ran), unless they cannot be true.
 */
export function ranUntil(startedAt: string, finishedAt: Date, mostMs: number): number {
  const byClock = finishedAt.getTime() - Date.parse(startedAt);
  return byClock >= 0 && byClock <= mostMs ? byClock : mostMs;
}
