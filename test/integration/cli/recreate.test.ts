/** `inspect --as run` and `--as compose`: what they print makes a container of the same configuration. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ContainerInspect } from '#api/types/container.ts';
import { run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMAGE = 'berth.test/busybox:1';
const berth = path.resolve(import.meta.dirname, '../../../berth');
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start();
  expect((await d.docker(['network', 'create', 'back'])).code).toBe(0);
  expect((await d.docker(['network', 'create', '--subnet', '10.199.7.0/24', 'front'])).code).toBe(0);
  expect((await d.docker(['volume', 'create', 'data'])).code).toBe(0);
});
afterAll(async () => {
  await d[Symbol.asyncDispose]();
});

const client = (...args: string[]) => run(berth, ['-H', `unix://${d.socket}`, ...args]);

/** What a container was asked for, without what each has of its own. */
async function wishes(name: string): Promise<unknown> {
  const { stdout } = await d.docker(['inspect', name]);
  // as: what the API documents for an inspect.
  const [container] = JSON.parse(stdout) as [ContainerInspect];
  const { Id, Config, HostConfig, Path, Args, NetworkSettings } = container;
  const Hostname = Id.startsWith(Config.Hostname) ? '' : Config.Hostname;
  const networks = Object.entries(NetworkSettings.Networks)
    .map(([key, end]) => ({
      key,
      asked: end.IPAMConfig,
      aliases: end.Aliases?.filter((alias) => !Id.startsWith(alias)),
    }))
    .sort((x, y) => (x.key < y.key ? -1 : 1));
  // The stock client sends variables and binds in the order of a Go map: in none.
  const Env = Config.Env?.toSorted();
  const Binds = HostConfig.Binds?.toSorted();
  return { Config: { ...Config, Hostname, Env }, HostConfig: { ...HostConfig, Binds }, Path, Args, networks };
}

for (const [title, args] of [
  ['nothing but a command', [IMAGE, 'true']],
  [
    'texts that a shell would read',
    [
      '-e',
      'QUOTE=it\'s "so"',
      '-e',
      'DOLLAR=$HOME `x`',
      '-e',
      'EMPTY=',
      '--label',
      'a=b c',
      IMAGE,
      'sh',
      '-c',
      'echo "$0" $((1+1)); exit 3',
    ],
  ],
  ['entrypoint of several words', ['--entrypoint', 'sh', IMAGE, '-c', 'true']],
  [
    'resources',
    [
      '-m',
      '64m',
      '--memory-reservation',
      '32m',
      '--cpus',
      '0.5',
      '--cpu-shares',
      '512',
      '--pids-limit',
      '50',
      '--ulimit',
      'nofile=100:200',
      '--shm-size',
      '1m',
      '--oom-score-adj',
      '100',
      '--cpuset-cpus',
      '0',
      IMAGE,
      'true',
    ],
  ],
  [
    'security',
    [
      '--user',
      '1:2',
      '--cap-drop',
      'ALL',
      '--cap-add',
      'CHOWN',
      '--security-opt',
      'no-new-privileges',
      '--read-only',
      '--group-add',
      '7',
      '--sysctl',
      'net.ipv4.ip_forward=1',
      '--pid',
      'host',
      '--ipc',
      'shareable',
      '--device',
      '/dev/null:/dev/nix:r',
      '--init',
      IMAGE,
      'true',
    ],
  ],
  ['unconfined paths', ['--security-opt', 'systempaths=unconfined', IMAGE, 'true']],
  [
    'storage',
    [
      '-v',
      'data:/data:ro',
      '-v',
      '/etc:/host-etc:ro',
      '-v',
      '/anonymous',
      '--tmpfs',
      '/scratch:size=1m',
      '--mount',
      'type=tmpfs,target=/t,tmpfs-size=4096',
      '--mount',
      'type=volume,source=data,target=/again,readonly',
      IMAGE,
      'true',
    ],
  ],
  [
    'networks',
    [
      '--network',
      'name=front,ip=10.199.7.9,alias=www',
      '--network',
      'back',
      '-p',
      '127.0.0.1::80',
      '-p',
      '5353/udp',
      '--expose',
      '9',
      '--add-host',
      'h:1.2.3.4',
      '--dns',
      '192.0.2.1',
      '--hostname',
      'me',
      IMAGE,
      'true',
    ],
  ],
  ['no network', ['--network', 'none', IMAGE, 'true']],
  [
    'health, restart, logs',
    [
      '--health-cmd',
      'test -f /x && true',
      '--health-interval',
      '1m30s',
      '--health-timeout',
      '500ms',
      '--health-retries',
      '2',
      '--restart',
      'on-failure:3',
      '--log-driver',
      'local',
      '--log-opt',
      'max-size=1m',
      '--stop-signal',
      'USR1',
      '--stop-timeout',
      '3',
      '-it',
      '--workdir',
      '/tmp',
      '--annotation',
      'k=v',
      IMAGE,
      'true',
    ],
  ],
] as const) {
  test(`as run: ${title}`, async () => {
    const made = await d.docker(['create', '--name', 'first', ...args]);
    expect(made).toMatchObject({ code: 0, stderr: '' });
    const before = await wishes('first');
    const { stdout, stderr } = await client('inspect', '--as', 'run', 'first');
    expect(stderr).toBe('');
    expect((await d.docker(['rm', '-v', 'first'])).code).toBe(0);
    // `create` takes what `run` takes, but for --detach.
    const script = stdout.replace('berth run', 'docker create').replace(' \\\n  --detach', '');
    const again = await run('sh', ['-c', script], { env: { DOCKER_HOST: `unix://${d.socket}` } });
    expect({ script, ...again }).toMatchObject({ script, code: 0 });
    expect({ script, wishes: await wishes('first') }).toEqual({ script, wishes: before });
    await d.docker(['rm', '-v', 'first']);
  });
}

test.skipIf(Bun.which('docker-compose') === null)(
  'as compose: a file that compose starts',
  async () => {
    const file = path.join(d.directory, 'compose.yaml');
    const args = [
      '-e',
      'DOLLAR=$HOME',
      '-v',
      'data:/data',
      '--network',
      'name=back,alias=www',
      '--restart',
      'always',
      '-m',
      '64m',
    ];
    const made = await d.docker([
      'create',
      '--name',
      'web',
      '--label',
      'a=b: c',
      ...args,
      IMAGE,
      'sh',
      '-c',
      'echo $DOLLAR; sleep 1000',
    ]);
    expect(made.code).toBe(0);
    const { stdout } = await client('inspect', '--as', 'compose', 'web');
    await d.docker(['rm', 'web']);
    fs.writeFileSync(file, `version: "2.4"\n${stdout}`);
    const env = { DOCKER_HOST: `unix://${d.socket}` };
    const up = await run('docker-compose', ['-f', file, '-p', 'again', 'up', '-d'], { env });
    expect({ file: stdout, ...up }).toMatchObject({ code: 0 });
    const inspected = await d.docker([
      'inspect',
      '-f',
      '{{.Config.Env}} {{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}} {{index .Config.Labels "a"}}',
      'web',
    ]);
    expect(inspected.stdout).toContain('DOLLAR=$HOME');
    expect(inspected.stdout).toContain('67108864 always b: c');
    const down = await run('docker-compose', ['-f', file, '-p', 'again', 'down', '-t', '0'], { env });
    expect(down.code).toBe(0);
  },
  120_000,
);

test('an unknown form is refused', async () => {
  const said = await client('inspect', '--as', 'kube', 'x');
  expect(said.code).toBe(1);
  expect(said.stderr).toContain('there is run and compose');
});
