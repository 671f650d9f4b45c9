import { describe, expect, test } from 'bun:test';
import type { ContainerUpdateRequest } from '#api/types/update.ts';
import { emptyConfig, stockHostConfig } from './testing/stock.ts';
import { changedLimits, mergeOwn, mergeUpdate, unchangeable } from './update.ts';

const nothing: ContainerUpdateRequest = {
  ...stockHostConfig,
  RestartPolicy: { Name: '', MaximumRetryCount: 0 },
  OomKillDisable: null,
  PidsLimit: null,
};
const limits = (now: Partial<typeof stockHostConfig>, asked: Partial<ContainerUpdateRequest>) => {
  const request = { ...nothing, ...asked };
  return changedLimits(mergeUpdate({ ...stockHostConfig, ...now }, request), request);
};

describe('limits', () => {
  test('nothing asked is nothing changed', () => {
    expect(limits({ Memory: 1 << 30, MemorySwap: 2 << 30, CpuShares: 5 }, {})).toEqual({});
    expect(mergeUpdate(stockHostConfig, nothing)).toEqual(stockHostConfig);
    expect(unchangeable(nothing)).toEqual([]);
  });

  test('memory and swap go together, with what stays of the other', () => {
    expect(limits({ Memory: 100, MemorySwap: 200 }, { Memory: 150 })).toEqual({
      memory: { limit: 150, swap: 200, checkBeforeUpdate: true },
    });
    expect(limits({ Memory: 100, MemorySwap: 200 }, { MemorySwap: -1 })).toEqual({
      memory: { limit: 100, swap: -1, checkBeforeUpdate: true },
    });
  });

  test('processor, processes, weight', () => {
    expect(limits({ CpuPeriod: 50_000 }, { CpuQuota: 25_000 })).toEqual({ cpu: { period: 50_000, quota: 25_000 } });
    expect(limits({}, { NanoCpus: 1_500_000_000 })).toEqual({ cpu: { period: 100_000, quota: 150_000 } });
    expect(limits({ CpuQuota: 5000 }, { CpuQuota: -1 })).toEqual({ cpu: { quota: -1 } });
    expect(limits({ PidsLimit: 7 }, { PidsLimit: 0 })).toEqual({ pids: { limit: -1 } });
    expect(limits({}, { PidsLimit: 9, BlkioWeight: 300 })).toEqual({ pids: { limit: 9 }, blockIO: { weight: 300 } });
    expect(limits({}, { CpuRealtimeRuntime: 5, CpusetCpus: '1', CpusetMems: '0' })).toEqual({
      cpu: { realtimeRuntime: 5, cpus: '1', mems: '0' },
    });
  });

  test('what came at different times must go together', () => {
    expect(() => limits({}, { MemorySwap: 5 })).toThrow('You should always set the Memory limit');
    expect(() => limits({ Memory: 100, MemorySwap: 200 }, { MemorySwap: 50 })).toThrow('larger than memory limit');
    expect(() => limits({ CpuQuota: 5000 }, { NanoCpus: 1e9 })).toThrow('as CPU Quota has already been set');
    expect(() => limits({ NanoCpus: 1e9 }, { CpuPeriod: 5000 })).toThrow('as NanoCPUs has already been set');
  });
});

describe('beyond docker', () => {
  const now = {
    config: { ...emptyConfig, Env: ['A=1', 'B=2'], Labels: { x: '1' } },
    hostConfig: stockHostConfig,
    restartBackoff: undefined,
  };
  test('environment keeps its order', () => {
    expect(mergeOwn(now, { Env: ['C=3', 'A=', 'B'] }).config.Env).toEqual(['A=', 'C=3']);
    expect(() => mergeOwn(now, { Env: ['=x'] })).toThrow('invalid environment variable');
  });
  test('labels, log options, healthcheck, back-off', () => {
    const next = mergeOwn(now, {
      Labels: { x: null, constructor: 'y' },
      LogOptions: { 'max-size': '1m' },
      Healthcheck: { Test: ['CMD', 'true'] },
      RestartBackoff: { FirstMs: 5, MaxMs: 10 },
    });
    expect(next.config.Labels).toEqual({ constructor: 'y' });
    expect(next.hostConfig.LogConfig.Config).toEqual({ 'max-size': '1m' });
    expect(next.config.Healthcheck).toEqual({ Test: ['CMD', 'true'] });
    expect(next.restartBackoff).toEqual({ FirstMs: 5, MaxMs: 10 });
    expect(() => mergeOwn({ ...now, restartBackoff: { FirstMs: 50 } }, { RestartBackoff: { MaxMs: 10 } })).toThrow(
      'more',
    );
    expect(() => mergeOwn(now, { RestartBackoff: { MaxMs: 0 } })).toThrow('want milliseconds');
  });
});
