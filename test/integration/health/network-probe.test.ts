/** Probes that the engine makes itself, in a network that has nothing but its loopback, and what it does when they fail. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import * as path from 'node:path';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(async () => {
  await d[Symbol.asyncDispose]();
}, 60_000);

interface Health {
  readonly Status: string;
  readonly Log: { ExitCode: number; Output: string }[];
}

const becomes = (name: string, status: string): Promise<Health> =>
  eventually(
    `${name} is ${status}`,
    async () => {
      const { body } = await d.request('GET', `/v1.51/containers/${name}/json`);
      // as: what the route is documented to answer.
      const health = (body as { State: { Health: Health } }).State.Health;
      return health.Status === status && health.Log.length > 0 ? health : undefined;
    },
    20_000,
  );

async function berthRun(name: string, flags: readonly string[], ...command: string[]): Promise<void> {
  const common = ['--network', 'none', '--health-interval', '250ms', '--health-retries', '1'];
  const r = await d.berth(['run', '-d', '--name', name, ...common, ...flags, IMG, ...command]);
  expect(r).toMatchObject({ code: 0 });
}

test('HTTP: a web server without curl beside it; a status, a body, a page that is not there, nobody who listens', async () => {
  const serve = 'mkdir /www; echo fine > /www/health; httpd -f -p 127.0.0.1:8080 -h /www';
  await berthRun('web', ['--health-http', '8080/health'], 'sh', '-c', serve);
  const { Log: log } = await becomes('web', 'healthy');
  expect(log.at(-1)?.ExitCode).toBe(0);
  expect(log.at(-1)?.Output).toMatch(/^HTTP\/1\.[01] 200 OK\nfine\n$/);
  const test = await d.must(['inspect', '-f', '{{json .Config.Healthcheck.Test}}', 'web']);
  expect(JSON.parse(test)).toEqual(['HTTP', '8080/health']);
  // No process of the probe's was ever in there.
  expect(await d.must(['top', 'web', '-o', 'pid,args'])).not.toContain('berth');
  await d.must(['exec', 'web', 'rm', '/www/health']);
  expect((await becomes('web', 'unhealthy')).Log.at(-1)?.Output).toStartWith('HTTP/1.1 404');
  await berthRun('nobody', ['--health-http', 'http://127.0.0.1:8081/'], 'sleep', '1000');
  expect((await becomes('nobody', 'unhealthy')).Log.at(-1)).toMatchObject({
    ExitCode: 1,
    Output: 'connect to 127.0.0.1:8081: connection refused',
  });
}, 60_000);

test('HTTP: one who accepts and says nothing is unhealthy at the limit', async () => {
  await berthRun(
    'mute',
    ['--health-http', '90', '--health-timeout', '400ms'],
    'nc',
    '-ll',
    '-p',
    '90',
    '-e',
    'sleep',
    '9',
  );
  const log = (await becomes('mute', 'unhealthy')).Log;
  expect(log.some((r) => r.ExitCode === -1 && r.Output === 'Health check exceeded timeout (400ms)')).toBeTrue();
}, 30_000);

test('TCP and UNIX', async () => {
  await berthRun('tcp', ['--health-tcp', '70'], 'nc', '-ll', '-p', '70', '-e', 'true');
  expect((await becomes('tcp', 'healthy')).Log.at(-1)?.Output).toBe('connected to 127.0.0.1:70');
  await berthRun('no-unix', ['--health-unix', '/etc/passwd'], 'sleep', '1000');
  expect((await becomes('no-unix', 'unhealthy')).Log.at(-1)?.Output).toContain('connect to /etc/passwd: ');
  await berthRun('unix', ['--health-unix', '/tmp/link/x.sock'], 'sleep', '1000');
  // A link that leads out of the container stays in it.
  await d.must(['exec', 'unix', 'sh', '-c', 'ln -s / /tmp/link']);
  await becomes('unix', 'unhealthy');
  const pid = await d.must(['inspect', '-f', '{{.State.Pid}}', 'unix']);
  await using _ = serving(Bun.listen({ unix: `/proc/${pid}/root/x.sock`, socket: { data: () => undefined } }));
  await becomes('unix', 'healthy');
}, 60_000);

function serving(server: { stop(force: boolean): void }): AsyncDisposable {
  return { [Symbol.asyncDispose]: async () => server.stop(true) };
}

test('gRPC: serving, not serving, a service that is not known', async () => {
  await berthRun('grpc', ['--health-grpc', '9000/db', '--health-timeout', '2s'], 'sleep', '1000');
  const pid = await d.must(['inspect', '-f', '{{.State.Pid}}', 'grpc']);
  await becomes('grpc', 'unhealthy');
  const script = path.join(import.meta.dirname, 'grpc-server/main.ts');
  const server = spawn('nsenter', [`--net=/proc/${pid}/ns/net`, process.execPath, script, '9000'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  try {
    expect((await becomes('grpc', 'healthy')).Log.at(-1)?.Output).toBe('status: SERVING');
    server.stdin.write('db=2\n');
    expect((await becomes('grpc', 'unhealthy')).Log.at(-1)?.Output).toBe('status: NOT_SERVING');
    server.stdin.write('db=missing\n');
    await eventually('the service is not known', async () => {
      const text = await d.must(['inspect', '-f', '{{json .State.Health}}', 'grpc']);
      return text.includes('no status in the answer (grpc-status 5)');
    });
  } finally {
    server.kill();
  }
}, 60_000);

test('over TLS: gRPC and HTTPS, and a peer that does not speak it', async () => {
  const limit = ['--health-timeout', '2s'];
  await berthRun('secure', ['--health-grpc', 'grpcs://localhost:9000/db', ...limit], 'sleep', '1000');
  const sharing = ['--network', 'container:secure', '--health-interval', '250ms', '--health-retries', '1', ...limit];
  const https = await d.berth(
    ['run', '-d', '--name', 'https', '--health-http', 'https://127.0.0.1:9001/', ...sharing].concat(
      IMG,
      'sleep',
      '1000',
    ),
  );
  expect(https).toMatchObject({ code: 0 });
  const pid = await d.must(['inspect', '-f', '{{.State.Pid}}', 'secure']);
  const script = path.join(import.meta.dirname, 'grpc-server/main.ts');
  const server = spawn('nsenter', [`--net=/proc/${pid}/ns/net`, process.execPath, script, '9000', 'tls'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  try {
    expect((await becomes('secure', 'healthy')).Log.at(-1)?.Output).toBe('status: SERVING');
    expect((await becomes('https', 'healthy')).Log.at(-1)?.Output).toBe('HTTP/1.1 200 OK\nsecret');
    server.stdin.write('db=2\n');
    expect((await becomes('secure', 'unhealthy')).Log.at(-1)?.Output).toBe('status: NOT_SERVING');
  } finally {
    server.kill();
  }
  const serve = 'mkdir /www; httpd -f -p 127.0.0.1:8080 -h /www';
  await berthRun('plain', ['--health-http', 'https://127.0.0.1:8080/', ...limit], 'sh', '-c', serve);
  expect((await becomes('plain', 'unhealthy')).Log.at(-1)?.ExitCode).not.toBe(0);
}, 60_000);

test('on failure: kill leaves it to the restart policy, restart restarts, stop stops; other words are refused', async () => {
  const sick = ['--health-tcp', '1'];
  await berthRun('killed', [...sick, '--health-on-failure', 'kill', '--restart', 'always'], 'sleep', '1000');
  await eventually('killed, and started again', async () => {
    return Number(await d.must(['inspect', '-f', '{{.RestartCount}}', 'killed'])) > 0;
  });
  await berthRun(
    'stopped',
    [...sick, '--health-on-failure', 'stop', '--restart', 'always', '--stop-timeout', '0'],
    'sleep',
    '1000',
  );
  await eventually('stopped for good', async () => {
    return (await d.must(['inspect', '-f', '{{.State.Status}}', 'stopped'])) === 'exited';
  });
  const first = async (): Promise<string> => d.must(['inspect', '-f', '{{.State.StartedAt}}', 'restarted']);
  await berthRun('restarted', [...sick, '--health-on-failure', 'restart', '--stop-timeout', '0'], 'sleep', '1000');
  const before = await first();
  await eventually('restarted', async () => (await first()) !== before);
  const wrong = await d.berth(['run', '--health-on-failure', 'explode', IMG]);
  expect(wrong.code).toBe(125);
  expect(wrong.stderr).toContain('it must be one of none, restart, stop, kill');
}, 60_000);
