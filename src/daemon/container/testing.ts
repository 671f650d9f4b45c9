/** A record for tests: a container that was created and never started. */
import type { ContainerRecord } from '#container/record.ts';
import { newState } from '#container/state.ts';
import { emptyConfig, stockHostConfig } from '#container/testing/stock.ts';

export function testRecord(change: Partial<ContainerRecord>): ContainerRecord {
  return {
    id: 'abcdef012345',
    name: 'web',
    createdAt: '2026-01-01T00:00:00.000000000Z',
    imageId: 'sha256:1',
    config: { ...emptyConfig, Hostname: 'abcdef012345' },
    hostConfig: { ...stockHostConfig, NetworkMode: 'bridge' },
    path: 'sh',
    args: ['-c', 'echo hi'],
    mounts: [],
    driver: 'overlay2',
    complete: true,
    state: newState,
    desired: 'stopped',
    manuallyStopped: false,
    restartCount: 0,
    networks: {},
    endpoints: [],
    ...change,
  };
}
