/** Links (legacy): variables, /etc/hosts, names, and what becomes of them, by the stock docker CLI. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { TestDaemon } from '../../support/daemon.ts';

setDefaultTimeout(120_000);

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
});
afterAll(async () => {
  await d[Symbol.asyncDispose]();
});
const must = (...args: string[]) => d.must(args);

test('on the default bridge: variables, hosts, names; by id, so that another name does not break it', async () => {
  await must(
    'run',
    '-d',
    '--name',
    'db-1',
    '-e',
    'FOO=bar',
    '--expose',
    '5432',
    '--expose',
    '53/udp',
    IMG,
    'sleep',
    '1000',
  );
  const ip = await must('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'db-1');
  await must('run', '-d', '--name', 'web', '--link', 'db-1:my-db', '-e', 'FOO=own', IMG, 'sleep', '1000');
  // PID 1's own environment, and that of an exec.
  const first = (await must('exec', 'web', 'cat', '/proc/1/environ')).split('\0');
  const later = (await must('exec', 'web', 'env')).split('\n');
  for (const line of [
    `MY_DB_PORT=udp://${ip}:53`,
    `MY_DB_PORT_5432_TCP_ADDR=${ip}`,
    'MY_DB_NAME=/web/my-db',
    'MY_DB_ENV_FOO=bar',
    'FOO=own',
  ]) {
    expect(first).toContain(line);
    expect(later).toContain(line);
  }
  expect(await must('exec', 'web', 'cat', '/etc/hosts')).toMatch(new RegExp(`^${ip}\\tmy-db \\w{12} db-1$`, 'm'));
  expect(await must('inspect', '-f', '{{json .HostConfig.Links}}', 'web')).toBe('["/db-1:/web/my-db"]');
  expect(await must('ps', '--no-trunc', '--filter', 'name=db-1', '--format', '{{.Names}}')).toBe('db-1,web/my-db');
  await must('rename', 'db-1', 'db-2');
  expect(await must('inspect', '-f', '{{json .HostConfig.Links}}', 'web')).toBe('["/db-2:/web/my-db"]');
  // It comes back with another address: the line follows.
  await must('stop', '-t', '0', 'db-2');
  await must('run', '-d', '--name', 'between', IMG, 'sleep', '1000');
  await must('start', 'db-2');
  const now = await must('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'db-2');
  expect(now).not.toBe(ip);
  expect(await must('exec', 'web', 'cat', '/etc/hosts')).toContain(`${now}\tmy-db`);
  await must('rm', '-f', 'between');
});

test('a link to nobody, to one that is stopped, and one that is taken away', async () => {
  const nobody = await d.docker(['create', '--link', 'nosuch:x', IMG, 'true']);
  expect(nobody.stderr).toContain('could not get container for nosuch: No such container: nosuch');
  await must('stop', '-t', '0', 'web', 'db-2');
  const stopped = await d.docker(['start', 'web']);
  expect(stopped.stderr).toContain('Cannot link to a non running container: /db-2 AS /web/my-db');
  expect(await must('rm', '--link', '/web/my-db')).toBe('/web/my-db');
  expect(await must('inspect', '-f', '{{json .HostConfig.Links}}', 'web')).toBe('null');
  await must('start', 'web');
  const own = await d.docker(['rm', '--link', 'web']);
  expect(own.stderr).toContain('cannot remove the default link name of the container');
  // A container that goes takes its links along.
  await must('rm', '-f', 'web');
  await must('start', 'db-2');
  await must('create', '--name', 'web', '--link', 'db-2', IMG, 'true');
  await must('rm', '-f', 'db-2');
  await must('start', '-a', 'web');
  await must('rm', 'web');
});

test('on a network of users: a name that this container alone knows, whoever starts first', async () => {
  await must('network', 'create', 'linked');
  await must('create', '--name', 'late', '--network', 'linked', IMG, 'sleep', '1000');
  await must('run', '-d', '--name', 'knows', '--network', 'linked', '--link', 'late:alias', IMG, 'sleep', '1000');
  await must('run', '-d', '--name', 'other', '--network', 'linked', IMG, 'sleep', '1000');
  await must('start', 'late');
  const ip = await must('inspect', '-f', '{{.NetworkSettings.Networks.linked.IPAddress}}', 'late');
  expect(await must('exec', 'knows', 'nslookup', 'alias')).toContain(ip);
  expect((await d.docker(['exec', 'other', 'nslookup', 'alias'])).code).not.toBe(0);
  expect(await must('exec', 'knows', 'env')).not.toContain('ALIAS_');
  await must('rm', '-f', 'late', 'knows', 'other');
  await must('network', 'rm', 'linked');
});
