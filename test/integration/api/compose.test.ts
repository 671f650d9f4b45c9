/** docker-compose 1.29 (Debian's): speaks old API versions and needs image inspect's ContainerConfig to recreate. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually, must, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const PROGRAM = '/usr/bin/docker-compose';

let daemon: TestDaemon;
beforeAll(async () => {
  if (!fs.existsSync(PROGRAM)) {
    await must('apt-get', ['update', '-qq'], { limitMs: 300_000 });
    await must('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'docker-compose'], {
      env: { DEBIAN_FRONTEND: 'noninteractive' },
      limitMs: 300_000,
    });
  }
  daemon = await TestDaemon.start();
}, 600_000);
afterAll(() => daemon[Symbol.asyncDispose](), 60_000);

const project = (value: string, version: string) => `version: "${version}"
services:
  web:
    image: berth.test/busybox:1
    command: sh -c "echo web is up; sleep 1000"
    network_mode: none
    environment: [A=${value}]
  job:
    image: berth.test/busybox:1
    command: [sh, -c, "echo job is done; exit 3"]
    network_mode: none
    volumes: [/data]
`;

for (const version of ['2.1', '3.8']) {
  test(`a project of version ${version}: up, logs, exec, recreate, run, stop, down`, async () => {
    const folder = path.join(daemon.directory, `project${version}`);
    fs.mkdirSync(folder);
    const file = path.join(folder, 'docker-compose.yml');
    const compose = async (...args: string[]) => {
      const result = await run(PROGRAM, ['-f', file, ...args], {
        env: { DOCKER_HOST: `unix://${daemon.socket}` },
        limitMs: 60_000,
      });
      return { code: result.code, text: result.stdout + result.stderr };
    };
    fs.writeFileSync(file, project('b', version));
    expect((await compose('up', '-d')).code).toBe(0);
    const logs = (await compose('logs', '--no-color')).text;
    expect(logs).toContain('web is up');
    expect(logs).toContain('job is done');
    expect((await compose('ps')).text).toMatch(/Exit 3/);
    expect((await compose('exec', '-T', 'web', 'sh', '-c', 'echo $A')).text.trim()).toBe('b');
    fs.writeFileSync(file, project('c', version));
    const again = await compose('up', '-d');
    expect(again.text).toMatch(/Recreating .*done/s);
    expect((await compose('exec', '-T', 'web', 'sh', '-c', 'echo $A')).text.trim()).toBe('c');
    expect((await compose('run', '--rm', '-T', 'job', 'sh', '-c', 'exit 5')).code).toBe(5);
    expect((await compose('stop', '-t', '0')).code).toBe(0);
    expect((await compose('down', '-v')).code).toBe(0);
    expect((await daemon.docker(['ps', '-aq'])).stdout).toBe('');
  }, 120_000);
}

const whole = `version: "2.4"
services:
  db:
    image: berth.test/busybox:1
    command: sh -c "touch /data/up; while :; do echo row | nc -l -p 5432; done"
    volumes: [data:/data]
    healthcheck: {test: [CMD, test, -e, /data/up], interval: 200ms, timeout: 5s, retries: 20}
  web:
    image: berth.test/busybox:1
    command: sh -c "nc -w 5 db 5432; while :; do echo page | nc -l -p 80; done"
    depends_on: {db: {condition: service_healthy}}
    ports: ["127.0.0.1:0:80"]
    networks: {default: {aliases: [front]}, back: {}}
networks: {back: {internal: true}}
volumes: {data: {}}
`;

test('a project with health, names, ports, networks and volumes: up, ps, logs, exec, restart, down -v', async () => {
  const folder = path.join(daemon.directory, 'whole');
  fs.mkdirSync(folder);
  const file = path.join(folder, 'docker-compose.yml');
  fs.writeFileSync(file, whole);
  const compose = async (...args: string[]) => {
    const result = await run(PROGRAM, ['-f', file, '-p', 'whole', ...args], {
      env: { DOCKER_HOST: `unix://${daemon.socket}` },
      limitMs: 60_000,
    });
    if (result.code !== 0) throw new Error(`docker-compose ${args.join(' ')}: ${result.stdout}${result.stderr}`);
    return result.stdout.trim();
  };
  await compose('up', '-d');
  expect(await compose('ps')).toMatch(/whole_db_1 .*Up \(healthy\)/);
  await eventually('web has asked db by its name', async () =>
    (await compose('logs', '--no-color', 'web')).includes('row'),
  );
  expect(await compose('exec', '-T', 'db', 'nc', '-w', '2', 'front', '80')).toBe('page');
  expect(await compose('port', 'web', '80')).toMatch(/^127\.0\.0\.1:\d+$/);
  await compose('restart', '-t', '0');
  expect(await compose('ps', '-q')).toMatch(/^[0-9a-f]{64}\n[0-9a-f]{64}$/);
  await compose('down', '-v', '-t', '0');
  for (const kind of ['ps -aq', 'volume ls -q', 'network ls -q --filter type=custom']) {
    expect((await daemon.docker(kind.split(' '))).stdout).toBe('');
  }
}, 120_000);

const healthy = `version: "2.4"
services:
  db:
    image: berth.test/busybox:1
    command: sh -c "sleep 1; touch /tmp/up; sleep 1000"
    network_mode: none
    restart: unless-stopped
    healthcheck:
      test: [CMD, test, -e, /tmp/up]
      interval: 200ms
      timeout: 10s
      retries: 100
  web:
    image: berth.test/busybox:1
    command: sleep 1000
    network_mode: none
    depends_on:
      db: {condition: service_healthy}
  sick:
    image: berth.test/busybox:1
    command: sleep 1000
    network_mode: none
    healthcheck: {test: "exit 1", interval: 200ms, retries: 1}
  after:
    image: berth.test/busybox:1
    command: sleep 1000
    network_mode: none
    depends_on:
      sick: {condition: service_healthy}
`;

test('healthchecks and depends_on with a condition: who waits starts later, who can never start is told', async () => {
  const folder = path.join(daemon.directory, 'healthy');
  fs.mkdirSync(folder);
  const file = path.join(folder, 'docker-compose.yml');
  fs.writeFileSync(file, healthy);
  const compose = async (...args: string[]) => {
    const env = { DOCKER_HOST: `unix://${daemon.socket}` };
    const result = await run(PROGRAM, ['-f', file, ...args], { env, limitMs: 90_000 });
    return { code: result.code, text: result.stdout + result.stderr };
  };
  expect((await compose('up', '-d', 'web')).code).toBe(0);
  const at = async (service: string, field: string): Promise<number> =>
    Date.parse(await daemon.must(['inspect', '-f', `{{${field}}}`, `healthy_${service}_1`]));
  expect(await at('web', '.State.StartedAt')).toBeGreaterThan((await at('db', '.State.StartedAt')) + 1000);
  expect((await compose('ps')).text).toMatch(/Up \(healthy\)/);
  const never = await compose('up', '-d', 'after');
  expect(never.code).toBe(1);
  expect(never.text).toContain('is unhealthy');
  expect((await compose('restart', '-t', '0', 'db')).code).toBe(0);
  expect((await compose('down', '-v', '-t', '0')).code).toBe(0);
  expect((await daemon.docker(['ps', '-aq'])).stdout).toBe('');
}, 180_000);
