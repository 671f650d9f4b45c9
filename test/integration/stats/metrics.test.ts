/** /metrics on the API's socket and on metrics-addr: well formed, true, and nothing else there. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { parseOpenMetrics } from '../../../src/pkg/openmetrics/parse.ts';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMAGE = 'berth.test/busybox:1';

async function scrape(url: string, unix?: string) {
  const response = await fetch(`${url}/metrics`, unix === undefined ? {} : { unix });
  expect(response.headers.get('content-type')).toStartWith('application/openmetrics-text; version=1.0.0');
  const families = parseOpenMetrics(await response.text());
  return (name: string, labels: Readonly<Record<string, string>> = {}): number | undefined =>
    families
      .get(name)
      ?.samples.find((sample) => Object.entries(labels).every(([key, value]) => sample.labels[key] === value))?.value;
}

test('the engine, the process and each running container, well formed and true', async () => {
  await using d = await TestDaemon.start();
  const label = 'quoted "value" with \\ and more';
  const script = 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 1000';
  await d.must([
    'run',
    '-d',
    '--name',
    'busy',
    '-m',
    '64m',
    '--cpus',
    '1',
    '-l',
    `x=${label}`,
    IMAGE,
    'sh',
    '-c',
    script,
  ]);
  await d.must(['run', '--name', 'over', '--network', 'none', IMAGE, 'true']);
  await d.docker(['run', '--network', 'none', IMAGE, 'nosuchcommand']);
  const check = ['--health-cmd', 'true', '--health-interval', '1s', '--health-start-interval', '100ms'];
  await d.must(['run', '-d', '--name', 'checked', '--network', 'none', ...check, IMAGE, 'sleep', '1000']);
  const container = { name: 'busy' };
  const value = await eventually('the container has used its processor', async () => {
    const found = await scrape('http://berth', d.socket);
    return (
      (found('berth_container_cpu_usage_seconds', container) ?? 0) > 0.05 &&
      found('berth_container_health', { name: 'checked', health: 'healthy' }) === 1 &&
      found
    );
  });
  expect(value('berth_containers', { state: 'running' })).toBe(2);
  expect(value('berth_containers', { state: 'exited' })).toBe(1);
  expect(value('berth_jobs', { job: 'container.create', status: 'done' })).toBe(4);
  expect(value('berth_jobs', { job: 'container.start', status: 'failed' })).toBe(1);
  expect(value('berth_job_duration_seconds', { job: 'container.start', le: '+Inf' })).toBe(4);
  expect(value('berth_http_requests', { method: 'POST', path: '/containers/create' })).toBe(4);
  expect(value('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
  expect(value('berth_container_memory_limit_bytes', container)).toBe(64 * 2 ** 20);
  expect(value('berth_container_memory_usage_bytes', container)).toBeGreaterThan(0);
  expect(value('berth_container_pids', container)).toBeGreaterThanOrEqual(1);
  expect(value('berth_container_cpu_periods', container)).toBeGreaterThan(0);
  expect(value('berth_container_oom_kills', container)).toBe(0);
  expect(value('berth_container_restarts', container)).toBe(0);
  expect(value('berth_container_health', { ...container, health: 'none' })).toBe(1);
  expect(value('berth_container_network_bytes', { ...container, interface: 'eth0' })).toBeGreaterThanOrEqual(0);
  expect(value('berth_container_pids', { name: 'over' })).toBeUndefined();
  if (value('berth_container_pressure_seconds', { ...container, resource: 'cpu' }) === undefined) {
    expect(fs.existsSync('/sys/fs/cgroup/cgroup.controllers')).toBe(false);
    console.log('skipped: cgroup v1 counts no pressure');
  }
}, 60_000);

test('metrics-addr: on loopback by itself, metrics and nothing else', async () => {
  await using d = await TestDaemon.start({ noBridge: true, image: false, args: ['--metrics-addr', ':0'] });
  const url = await eventually(
    'the address is logged',
    () => /"address":"tcp:\/\/(127\.0\.0\.1:\d+)"/.exec(d.log)?.[1],
  );
  const value = await scrape(`http://${url}`);
  expect(value('berth_http_requests', { method: 'GET', path: '/_ping' })).toBeGreaterThan(0);
  for (const path of ['/info', '/containers/json', '/v1.51/containers/json', '/_ping']) {
    expect((await fetch(`http://${url}${path}`)).status).toBe(404);
  }
  expect((await fetch(`http://${url}/containers/create`, { method: 'POST' })).status).toBe(404);
  const named = await fetch(`http://${url}/metrics`, { headers: { Host: 'prometheus.example:9323' } });
  expect(named.status).toBe(200);
  const page = await fetch(`http://${url}/metrics`, { headers: { Origin: 'http://evil.example' } });
  expect(page.status).toBe(403);
}, 60_000);
