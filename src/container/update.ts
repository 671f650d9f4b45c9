/**
 * `update`: what a request makes of a container's configuration, and which limits of its group change by it. The rules
 * and words are dockerd's; beyond them environment, labels, healthcheck, restart back-off and log options. Pure.
 */
import type { ContainerConfig } from '#api/types/container.ts';
import type { HostConfig } from '#api/types/host-config.ts';
import type { RestartBackoff } from '#api/types/container.ts';
import type { BerthUpdate, ContainerUpdateRequest } from '#api/types/update.ts';
import { conflict, invalidParameter } from '#errdefs/errors.ts';
import type { Resources } from '#libcontainer/spec.ts';
import { resourcesOf } from './resources.ts';

/** Errors: conflict when what is set already does not go together with what is asked. */
export function mergeUpdate(now: HostConfig, asked: ContainerUpdateRequest): HostConfig {
  checkConflicts(now, asked);
  const next = { ...now };
  if (asked.BlkioWeight !== 0) next.BlkioWeight = asked.BlkioWeight;
  if (asked.CpuShares !== 0) next.CpuShares = asked.CpuShares;
  if (asked.NanoCpus !== 0) next.NanoCpus = asked.NanoCpus;
  if (asked.CpuPeriod !== 0) next.CpuPeriod = asked.CpuPeriod;
  if (asked.CpuQuota !== 0) next.CpuQuota = asked.CpuQuota;
  if (asked.CpuRealtimePeriod !== 0) next.CpuRealtimePeriod = asked.CpuRealtimePeriod;
  if (asked.CpuRealtimeRuntime !== 0) next.CpuRealtimeRuntime = asked.CpuRealtimeRuntime;
  if (asked.CpusetCpus !== '') next.CpusetCpus = asked.CpusetCpus;
  if (asked.CpusetMems !== '') next.CpusetMems = asked.CpusetMems;
  if (asked.Memory !== 0) next.Memory = asked.Memory;
  if (asked.MemorySwap !== 0) next.MemorySwap = asked.MemorySwap;
  if (asked.MemoryReservation !== 0) next.MemoryReservation = asked.MemoryReservation;
  if (asked.KernelMemoryTCP !== undefined) next.KernelMemoryTCP = asked.KernelMemoryTCP;
  if (asked.PidsLimit !== null) next.PidsLimit = asked.PidsLimit;
  if (asked.RestartPolicy.Name !== '') next.RestartPolicy = asked.RestartPolicy;
  checkMerged(next);
  return next;
}

function checkConflicts(now: HostConfig, asked: ContainerUpdateRequest): void {
  const conflicts = (are: boolean, what: string): void => {
    if (are) throw conflict(`Conflicting options: ${what} already been set`);
  };
  conflicts(asked.NanoCpus > 0 && now.CpuPeriod > 0, 'Nano CPUs cannot be updated as CPU Period has');
  conflicts(asked.NanoCpus > 0 && now.CpuQuota > 0, 'Nano CPUs cannot be updated as CPU Quota has');
  conflicts(asked.CpuPeriod > 0 && now.NanoCpus > 0, 'CPU Period cannot be updated as NanoCPUs has');
  conflicts(asked.CpuQuota > 0 && now.NanoCpus > 0, 'CPU Quota cannot be updated as NanoCPUs has');
  if (asked.Memory !== 0 && asked.Memory > now.MemorySwap && asked.MemorySwap === 0) {
    throw conflict(
      'Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time',
    );
  }
  if (now.AutoRemove && !['', 'no'].includes(asked.RestartPolicy.Name)) {
    throw conflict('Restart policy cannot be updated because AutoRemove is enabled for the container');
  }
}

/** Parts that came at different times must go together too. */
function checkMerged(next: HostConfig): void {
  if (next.Memory === 0 && next.MemorySwap > 0) {
    throw invalidParameter('You should always set the Memory limit when using Memoryswap limit, see usage');
  }
  if (next.Memory > 0 && next.MemorySwap > 0 && next.MemorySwap < next.Memory) {
    throw invalidParameter('Minimum memoryswap limit should be larger than memory limit, see usage');
  }
  if (next.CpuRealtimePeriod !== 0 && next.CpuRealtimeRuntime > next.CpuRealtimePeriod) {
    throw invalidParameter('cpu real-time runtime cannot be higher than cpu real-time period');
  }
}

function pick<T extends object>(from: T, when: boolean, ...keys: readonly (keyof T)[]): Partial<T> {
  const picked: Partial<T> = {};
  if (when) for (const key of keys) if (from[key] !== undefined) picked[key] = from[key];
  return picked;
}

/** The limits that change, with their new values: what belongs together (memory and swap, quota and period) as one. */
export function changedLimits(next: HostConfig, asked: ContainerUpdateRequest): Resources {
  const all = resourcesOf(next, () => ({ major: 0, minor: 0 }));
  const { memory = {}, cpu = {}, blockIO = {} } = all;
  const changed: { -readonly [K in keyof Resources]: Resources[K] } = {};
  const both = asked.Memory !== 0 || asked.MemorySwap !== 0;
  const newMemory = {
    ...pick(memory, both, 'limit', 'swap'),
    ...pick(memory, asked.MemoryReservation !== 0, 'reservation'),
    ...pick(memory, asked.KernelMemoryTCP !== undefined, 'kernelTCP'),
  };
  if (Object.keys(newMemory).length > 0) changed.memory = { ...newMemory, checkBeforeUpdate: true };
  const newCpu = {
    ...pick(cpu, asked.CpuShares !== 0, 'shares'),
    ...pick(cpu, asked.NanoCpus !== 0 || asked.CpuPeriod !== 0 || asked.CpuQuota !== 0, 'period', 'quota'),
    ...pick(cpu, asked.CpuRealtimePeriod !== 0 || asked.CpuRealtimeRuntime !== 0, 'realtimePeriod', 'realtimeRuntime'),
    ...pick(cpu, asked.CpusetCpus !== '', 'cpus'),
    ...pick(cpu, asked.CpusetMems !== '', 'mems'),
  };
  if (Object.keys(newCpu).length > 0) changed.cpu = newCpu;
  if (asked.PidsLimit !== null) changed.pids = all.pids ?? { limit: -1 };
  if (asked.BlkioWeight !== 0 && blockIO.weight !== undefined) changed.blockIO = { weight: blockIO.weight };
  return changed;
}

/** Fields of Resources that no update changes; dockerd drops them without a word. */
export function unchangeable(asked: ContainerUpdateRequest): string[] {
  const fields = [
    'CgroupParent',
    'BlkioWeightDevice',
    'BlkioDeviceReadBps',
    'BlkioDeviceWriteBps',
    'BlkioDeviceReadIOps',
    'BlkioDeviceWriteIOps',
    'Devices',
    'DeviceCgroupRules',
    'DeviceRequests',
    'OomKillDisable',
    'Ulimits',
  ] as const;
  const given = fields.filter((field) => {
    const value = asked[field];
    return Array.isArray(value) ? value.length > 0 : Boolean(value);
  });
  if ((asked.MemorySwappiness ?? -1) !== -1) return [...given, 'MemorySwappiness'];
  return given;
}

export interface OwnChange {
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  readonly restartBackoff: RestartBackoff | undefined;
}

/** Environment, labels, healthcheck, back-off and log options. Errors: invalid-parameter. */
export function mergeOwn(now: OwnChange, asked: BerthUpdate): OwnChange {
  const config = { ...now.config };
  if (asked.Env !== undefined) config.Env = mergeEnv(config.Env ?? [], asked.Env);
  if (asked.Labels !== undefined) config.Labels = mergeMap(config.Labels ?? {}, asked.Labels);
  if (asked.Healthcheck !== undefined) config.Healthcheck = { ...config.Healthcheck, ...asked.Healthcheck };
  const { LogConfig: logs } = now.hostConfig;
  const hostConfig =
    asked.LogOptions === undefined
      ? now.hostConfig
      : { ...now.hostConfig, LogConfig: { Type: logs.Type, Config: mergeMap(logs.Config ?? {}, asked.LogOptions) } };
  return { config, hostConfig, restartBackoff: mergeBackoff(now.restartBackoff, asked.RestartBackoff) };
}

const nameOf = (entry: string): string => entry.split('=', 1)[0] ?? '';

/** 'A=b' sets A where it stands or at the end, 'A' takes it away. */
function mergeEnv(now: readonly string[], asked: readonly string[]): string[] {
  let env = [...now];
  for (const entry of asked) {
    const name = nameOf(entry);
    if (name === '' || entry.includes('\0')) throw invalidParameter(`invalid environment variable: ${entry}`);
    const at = env.findIndex((known) => nameOf(known) === name);
    if (!entry.includes('=')) env = env.filter((known) => nameOf(known) !== name);
    else if (at < 0) env.push(entry);
    else env[at] = entry;
  }
  return env;
}

function mergeMap(
  now: Readonly<Record<string, string>>,
  asked: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const next = new Map(Object.entries(now));
  for (const [key, value] of Object.entries(asked)) {
    if (value === null) next.delete(key);
    else next.set(key, value);
  }
  return Object.fromEntries(next);
}

const BACKOFF_MS_MAX = 86_400_000;

function mergeBackoff(now: RestartBackoff | undefined, asked: RestartBackoff | undefined): RestartBackoff | undefined {
  if (asked === undefined) return now;
  for (const [name, value] of Object.entries(asked) as [string, number][]) {
    if (!Number.isInteger(value) || value < 1 || value > BACKOFF_MS_MAX) {
      throw invalidParameter(`RestartBackoff.${name}: want milliseconds from 1 to ${BACKOFF_MS_MAX}, not ${value}`);
    }
  }
  const next = { ...now, ...asked };
  if (next.FirstMs !== undefined && next.MaxMs !== undefined && next.FirstMs > next.MaxMs) {
    throw invalidParameter(`RestartBackoff: FirstMs ${next.FirstMs} is more than MaxMs ${next.MaxMs}`);
  }
  return next;
}
