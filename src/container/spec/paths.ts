/** Paths that a container does not see or may not write (Docker's defaults, in its order). */

const masked = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];

/** `possibleCpus`: thermal_throttle of every CPU tells what others do (GHSA-6fw5-f8r9-fgfm). */
export function defaultMaskedPaths(possibleCpus: readonly number[]): string[] {
  return [...masked, ...possibleCpus.map((cpu) => `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`)];
}

/** What inspect shows: without the paths per CPU. */
export const shownMaskedPaths: readonly string[] = masked;

export const defaultReadonlyPaths: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
];
