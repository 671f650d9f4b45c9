/** The API of a real daemon by raw requests: what the stock CLI does not ask, or not in that way. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import net from 'node:net';
import * as path from 'node:path';
import { eventually, run } from '../../support/command.ts';
import { BERTHD, TestDaemon } from '../../support/daemon.ts';
import { infoSchema, problemsOf } from './info-schema.ts';

const IMAGE = 'berth.test/busybox:1';

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start();
}, 60_000);
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
}, 60_000);

type Body = { [key: string]: unknown };

/** Status and body, which has to be an object or a list of objects. */
async function ask(method: string, target: string, body?: unknown): Promise<{ status: number; body: Body }> {
  const answer = await daemon.request(method, target, body);
  return { status: answer.status, body: answer.body as Body };
}

const message = async (method: string, target: string, body?: unknown) => {
  const answer = await ask(method, target, body);
  return `${answer.status} ${String(answer.body?.['message'])}`;
};

async function create(name: string, extra: Body = {}): Promise<string> {
  const answer = await ask('POST', `/containers/create?name=${name}`, {
    Image: IMAGE,
    Cmd: ['sleep', '1000'],
    HostConfig: { NetworkMode: 'none' },
    ...extra,
  });
  expect(answer.status).toBe(201);
  return String(answer.body['Id']);
}

async function started(name: string, extra: Body = {}): Promise<string> {
  const id = await create(name, extra);
  expect((await daemon.request('POST', `/containers/${id}/start`)).status).toBe(204);
  return id;
}

const remove = (id: string) => daemon.request('DELETE', `/containers/${id}?force=1&v=1`);

describe('the daemon itself', () => {
  test('ping and version negotiation', async () => {
    for (const method of ['GET', 'HEAD']) {
      const response = await fetch('http://x/v1.24/_ping', { method, unix: daemon.socket });
      expect(response.headers.get('api-version')).toBe('1.51');
      expect(await response.text()).toBe(method === 'GET' ? 'OK' : '');
    }
    expect(await message('GET', '/v1.99/info')).toContain('400 client version 1.99 is too new');
  });

  test('info has every key and type of API 1.51, and none beside', async () => {
    const { status, body } = await ask('GET', '/info');
    expect(status).toBe(200);
    expect(problemsOf(body as never, infoSchema)).toEqual([]);
    const old = (await ask('GET', '/v1.40/info')).body['RuncCommit'] as Body;
    expect(old['Expected']).toBe(old['ID']);
    expect(body['NCPU']).toBe(navigator.hardwareConcurrency);
    expect(body['KernelVersion']).toBe(fs.readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim());
    expect(body['DockerRootDir']).toBe(daemon.dataRoot);
  });

  test('jobs are listed and cancelled', async () => {
    const id = await started('jobs');
    const waiting = fetch(`http://x/containers/${id}/wait`, { method: 'POST', unix: daemon.socket });
    const running = async () => {
      const jobs = (await daemon.request('GET', '/berth/jobs')).body as Body[];
      return jobs.find((job) => job['Name'] === 'container.wait' && job['Status'] === 'running');
    };
    const job = await eventually('the waiter is listed', running, 5000);
    expect(job).toMatchObject({ Subject: id, Source: 'api', Uid: 0, Pid: process.pid });
    expect((await daemon.request('POST', `/berth/jobs/${String(job?.['Id'])}/cancel`)).status).toBe(204);
    expect(await (await waiting).text()).toContain('"StatusCode":-1');
    expect(await message('POST', '/berth/jobs/0/cancel')).toBe('404 No such job: 0');
    await remove(id);
  });

  test('networks and volumes: those that are there from the start', async () => {
    const networks = (await daemon.request('GET', '/networks')).body as Body[];
    expect(networks.map((n) => String(n['Name'])).sort()).toEqual(['bridge', 'host', 'none']);
    expect((await ask('GET', '/networks/bridge')).body['Driver']).toBe('bridge');
    expect(await message('GET', '/networks/nothing')).toBe('404 network nothing not found');
    expect(await message('POST', '/networks/create', { Name: 'bridge' })).toContain('403 operation is not permitted');
    const id = await create('volumes', { Volumes: { '/data': {} } });
    const mounts = (await ask('GET', `/containers/${id}/json`)).body['Mounts'] as Body[];
    const name = String(mounts[0]?.['Name']);
    const listed = (await ask('GET', '/volumes')).body['Volumes'] as Body[];
    expect(listed.map((v) => v['Name'])).toContain(name);
    expect((await ask('GET', `/volumes/${name}`)).body).toMatchObject({ Name: name, Driver: 'local', Scope: 'local' });
    expect(await message('GET', '/volumes/nothing')).toBe('404 get nothing: no such volume');
    expect(await message('POST', '/volumes/create', { Name: 'x' })).toContain('400 create x: volume name is too short');
    await remove(id);
    expect((await daemon.request('GET', `/volumes/${name}`)).status).toBe(404);
  });
});

test('there are no plugins, and none is found', async () => {
  expect((await daemon.request('GET', '/plugins')).body).toEqual([]);
  expect(await message('GET', '/plugins/x/json')).toStartWith('404');
  expect(await message('POST', '/plugins/pull?remote=x')).toBe('501 Cannot install a plugin: this is not there yet');
});

describe('containers', () => {
  test('top, resize, rename', async () => {
    const id = await started('before', { Tty: true });
    const top = (await ask('GET', `/containers/${id}/top`)).body;
    expect(top['Titles']).toContain('PID');
    expect(JSON.stringify(top['Processes'])).toContain('sleep 1000');
    expect(await message('POST', `/containers/${id}/resize?h=-1&w=1`)).toBe(
      '400 invalid resize height "-1": invalid syntax',
    );
    expect((await daemon.request('POST', `/containers/${id}/resize?h=33&w=77`)).status).toBe(200);
    const exec = await daemon.must(['exec', id, 'sh', '-c', 'stty -F /proc/1/fd/0 size || stty size < /proc/1/fd/0']);
    expect(exec).toBe('33 77');
    expect((await daemon.request('POST', `/containers/${id}/rename?name=after`)).status).toBe(204);
    expect((await ask('GET', '/containers/after/json')).body['Name']).toBe('/after');
    expect((await daemon.request('GET', '/containers/before/json')).status).toBe(404);
    await remove(id);
  });

  test('kill by name and number; what is not running is a conflict', async () => {
    for (const signal of ['KILL', 'SIGKILL', '9']) {
      const id = await started('killed');
      expect((await daemon.request('POST', `/containers/${id}/kill?signal=${signal}`)).status).toBe(204);
      const ended = await eventually(
        'the container ends',
        async () => {
          const state = (await ask('GET', `/containers/${id}/json`)).body['State'] as Body;
          return state['Running'] === false ? state : undefined;
        },
        5000,
      );
      expect(ended).toMatchObject({ Status: 'exited', ExitCode: 137 });
      expect(await message('POST', `/containers/${id}/kill`)).toMatch(/^409 .*is not running/);
      await remove(id);
    }
    expect(await message('POST', '/containers/none/kill')).toBe('404 No such container: none');
  });

  test('wait in all conditions, also for clients before API 1.30', async () => {
    const id = await create('waited', { Cmd: ['sh', '-c', 'exit 7'] });
    const notRunning = await ask('POST', `/containers/${id}/wait`);
    expect(notRunning.body).toEqual({ StatusCode: 0 });
    const next = ask('POST', `/containers/${id}/wait?condition=next-exit`);
    const removed = ask('POST', `/containers/${id}/wait?condition=removed`);
    await Bun.sleep(50);
    await daemon.request('POST', `/containers/${id}/start`);
    expect((await next).body).toEqual({ StatusCode: 7 });
    expect((await ask('POST', `/v1.29/containers/${id}/wait`)).body).toEqual({ StatusCode: 7 });
    await remove(id);
    expect((await removed).body).toEqual({ StatusCode: 7 });
  });

  test('start of a running one and stop of a stopped one change nothing: 304', async () => {
    const id = await started('twice');
    expect((await daemon.request('POST', `/containers/${id}/start`)).status).toBe(304);
    expect((await daemon.request('POST', `/containers/${id}/stop?t=0`)).status).toBe(204);
    expect((await daemon.request('POST', `/containers/${id}/stop?t=0`)).status).toBe(304);
    await remove(id);
  });

  test('attach without Upgrade, with a half-close, gives output and end', async () => {
    const id = await create('attached', {
      Cmd: ['sh', '-c', 'cat; echo end'],
      OpenStdin: true,
      StdinOnce: true,
      AttachStdin: true,
    });
    const socket = net.connect({ path: daemon.socket, allowHalfOpen: true });
    const received: Buffer[] = [];
    socket.on('data', (bytes: Buffer) => received.push(bytes));
    const ended = new Promise((resolve) => socket.once('end', resolve));
    socket.write(`POST /containers/${id}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: x\r\n\r\n`);
    await eventually('the stream opens', () => received.length > 0, 5000);
    await daemon.request('POST', `/containers/${id}/start`);
    socket.end('hello\n');
    await ended;
    socket.destroy();
    const text = Buffer.concat(received).toString('latin1');
    expect(text).toStartWith('HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n');
    expect(text).toContain('hello\n');
    expect(text).toContain('end\n');
    await remove(id);
  });

  test('at the end of what is attached the container has ended, also when it closed its output before', async () => {
    const id = await create('quiet', { Cmd: ['sh', '-c', 'echo said; exec >&- 2>&-; sleep 1; exit 7'] });
    const socket = net.connect({ path: daemon.socket, allowHalfOpen: true });
    const received: Buffer[] = [];
    socket.on('data', (bytes: Buffer) => received.push(bytes));
    const ended = new Promise((resolve) => socket.once('end', resolve));
    socket.write(`POST /containers/${id}/attach?stream=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: x\r\n\r\n`);
    await eventually('the stream opens', () => received.length > 0, 5000);
    await daemon.request('POST', `/containers/${id}/start`);
    await ended;
    socket.destroy();
    expect(Buffer.concat(received).toString('latin1')).toContain('said\n');
    const { State: state } = (await ask('GET', `/containers/${id}/json`)).body;
    expect(state).toMatchObject({ Running: false, ExitCode: 7 });
    await remove(id);
  });

  test('an exec whose program is not there says so in the stream and keeps the code', async () => {
    const id = await started('execs');
    const exec = (await ask('POST', `/containers/${id}/exec`, { Cmd: ['/nothing'], AttachStdout: true })).body;
    await daemon.request('POST', `/exec/${String(exec['Id'])}/start`, { Detach: false, Tty: false });
    expect((await ask('GET', `/exec/${String(exec['Id'])}/json`)).body).toMatchObject({
      Running: false,
      ExitCode: 127,
    });
    await remove(id);
  });
});

test('images: history, old sizes, what needs a registry', async () => {
  const history = (await daemon.request('GET', `/images/${IMAGE}/history`)).body as Body[];
  expect(history[0]?.['Tags']).toContain(IMAGE);
  expect(String(history[0]?.['Id'])).toStartWith('sha256:');
  const old = (await ask('GET', `/v1.43/images/${IMAGE}/json`)).body;
  expect(old['VirtualSize']).toBe(old['Size']);
  const now = (await ask('GET', `/images/${IMAGE}/json`)).body;
  expect(now['VirtualSize']).toBeUndefined();
  // docker-compose 1.29 needs it.
  expect(now['ContainerConfig']).toBeDefined();
  expect(await message('POST', '/images/create?fromImage=127.0.0.1:1/x&tag=latest')).toBe(
    '500 Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
  );
  expect(await message('GET', '/images/nothing/json')).toBe('404 No such image: nothing:latest');
});

describe('configuration', () => {
  const [program = '', ...first] = BERTHD;
  const berthd = (...args: string[]) => run(program, [...first, ...args]);

  test('--validate says OK or what is wrong', async () => {
    const file = path.join(daemon.directory, 'validate.json');
    fs.writeFileSync(file, '{"debug": true, "userland-proxy": false}');
    expect(await berthd('--validate', '--config-file', file)).toMatchObject({ code: 0, stdout: 'configuration OK\n' });
    expect(await berthd('--validate', '--config-file', file, '-D')).toMatchObject({
      code: 1,
      stderr:
        `unable to configure the daemon with file ${file}: the following directives are specified both as a flag ` +
        'and in the configuration file: debug: (from flag: true, from file: true)\n',
    });
    fs.writeFileSync(file, '{"log-driver": "awslogs"}');
    expect(await berthd('--validate', '--config-file', file)).toMatchObject({
      code: 1,
      stderr: 'log driver "awslogs" is not supported\n',
    });
    fs.writeFileSync(file, '{"log-opts": {"max-sise": "1m"}}');
    expect(await berthd('--validate', '--config-file', file)).toMatchObject({
      code: 1,
      stderr: "unknown log opt 'max-sise' for json-file log driver\n",
    });
  });

  const second = (roots: { data: string; exec: string; pidfile: string }) =>
    berthd(
      ...['--data-root', roots.data, '--exec-root', roots.exec, '--pidfile', roots.pidfile, '--bridge', 'none'],
      ...['-H', `unix://${daemon.directory}/other.sock`, '--config-file', path.join(daemon.directory, 'daemon.json')],
    );

  test('a second daemon on the same data root, exec root or pid file names the first', async () => {
    const other = path.join(daemon.directory, 'other');
    const free = { data: `${other}-data`, exec: `${other}-exec`, pidfile: `${other}.pid` };
    for (const taken of [{ data: daemon.dataRoot }, { exec: daemon.execRoot }]) {
      const result = await second({ ...free, ...taken });
      expect(result.code).toBe(1);
      expect(result.stderr).toContain(`process id ${daemon.pid} uses it`);
    }
    const pidfile = path.join(daemon.directory, 'taken.pid');
    fs.writeFileSync(pidfile, `${daemon.pid}\n`);
    const result = await second({ ...free, pidfile });
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(`process with PID ${daemon.pid} is still running`);
    expect(fs.readFileSync(pidfile, 'utf8')).toBe(`${daemon.pid}\n`);
  });

  test('SIGHUP rereads what may change, and a wrong file changes nothing', async () => {
    const file = path.join(daemon.directory, 'daemon.json');
    const labels = async () => (await ask('GET', '/info')).body['Labels'];
    fs.writeFileSync(
      file,
      '{"labels": ["a=b"], "debug": true, "default-shm-size": "3M", "default-ipc-mode": "shareable"}',
    );
    process.kill(daemon.pid, 'SIGHUP');
    await eventually('the labels change', async () => JSON.stringify(await labels()) === '["a=b"]', 5000);
    expect((await ask('GET', '/info')).body['Debug']).toBe(true);
    const id = await create('reread', { Cmd: ['true'] });
    expect((await ask('GET', `/containers/${id}/json`)).body['HostConfig']).toMatchObject({
      ShmSize: 3 * 1024 * 1024,
      IpcMode: 'shareable',
    });
    await remove(id);
    fs.writeFileSync(file, '{"labels": 5}');
    process.kill(daemon.pid, 'SIGHUP');
    await eventually('the refusal is logged', () => daemon.log.includes('was not reloaded'), 5000);
    expect(await labels()).toEqual(['a=b']);
    fs.writeFileSync(file, '{"default-runtime": "missing"}');
    process.kill(daemon.pid, 'SIGHUP');
    await eventually('the runtime is refused', () => daemon.log.includes('\\"missing\\" is not installed'), 5000);
    expect((await ask('GET', '/info')).body['DefaultRuntime']).toBe('berth');
    fs.writeFileSync(file, '{}');
    process.kill(daemon.pid, 'SIGHUP');
    await eventually('the labels go', async () => JSON.stringify(await labels()) === '[]', 5000);
  });
});

test('the shutdown of the system stops all by their signals, without the user’s mark', async () => {
  const id = await started('down', {
    Cmd: ['sh', '-c', 'trap "exit 3" TERM; while :; do sleep 0.05; done'],
    HostConfig: { NetworkMode: 'none', RestartPolicy: { Name: 'unless-stopped' } },
  });
  await Bun.sleep(100);
  expect((await daemon.request('POST', '/berth/shutdown')).status).toBe(204);
  const state = (await ask('GET', `/containers/${id}/json`)).body['State'] as Body;
  expect(state).toMatchObject({ Running: false, ExitCode: 3 });
  // The next daemon brings it back: the user did not stop it.
  await daemon.restart('SIGTERM');
  await eventually(
    'it runs again',
    async () => ((await ask('GET', `/containers/${id}/json`)).body['State'] as Body)['Running'] === true,
    10_000,
  );
  await remove(id);
}, 60_000);
