import { expect, test } from 'bun:test';
import type { ContainerStats } from '#api/types/stats.ts';
import { cpuPercent, memoryUsed, statsRow } from './stats-row.ts';

const none = {
  io_serviced_recursive: null,
  io_queue_recursive: null,
  io_service_time_recursive: null,
  io_wait_time_recursive: null,
  io_merged_recursive: null,
  io_time_recursive: null,
  sectors_recursive: null,
};

const frame: ContainerStats = {
  name: '/web',
  id: 'a'.repeat(64),
  read: '',
  preread: '',
  pids_stats: { current: 3 },
  blkio_stats: {
    ...none,
    io_service_bytes_recursive: [
      { major: 8, minor: 0, op: 'Read', value: 1_500_000 },
      { major: 8, minor: 0, op: 'Write', value: 20_000_000 },
      { major: 8, minor: 0, op: 'Total', value: 21_500_000 },
    ],
  },
  num_procs: 0,
  storage_stats: {},
  cpu_stats: {
    cpu_usage: { total_usage: 600, usage_in_kernelmode: 0, usage_in_usermode: 0 },
    system_cpu_usage: 3000,
    online_cpus: 2,
    throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
  },
  precpu_stats: {
    cpu_usage: { total_usage: 100, usage_in_kernelmode: 0, usage_in_usermode: 0 },
    system_cpu_usage: 1000,
    online_cpus: 2,
    throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
  },
  memory_stats: { usage: 60 * 2 ** 20, limit: 100 * 2 ** 20, stats: { total_inactive_file: 10 * 2 ** 20 } },
  networks: {
    eth0: {
      rx_bytes: 10_000_000,
      rx_packets: 1,
      rx_errors: 0,
      rx_dropped: 0,
      tx_bytes: 620,
      tx_packets: 1,
      tx_errors: 0,
      tx_dropped: 0,
    },
  },
};

test('the figures of docker stats', () => {
  expect(statsRow({ id: frame.id, name: 'web' }, frame, false)).toEqual({
    Container: 'aaaaaaaaaaaa',
    ID: 'aaaaaaaaaaaa',
    Name: 'web',
    CPUPerc: '50.00%',
    MemUsage: '50MiB / 100MiB',
    MemPerc: '50.00%',
    NetIO: '10MB / 620B',
    BlockIO: '1.5MB / 20MB',
    PIDs: '3',
  });
});

test('nothing known yet, nothing used, a cache that is more than the use', () => {
  expect(statsRow({ id: 'x', name: 'x' }, undefined, true)['MemUsage']).toBe('-- / --');
  expect(cpuPercent({ ...frame, cpu_stats: frame.precpu_stats })).toBe(0);
  expect(memoryUsed({ ...frame, memory_stats: { usage: 5, stats: { inactive_file: 10 } } })).toBe(5);
  expect(memoryUsed({ ...frame, memory_stats: {} })).toBe(0);
});
