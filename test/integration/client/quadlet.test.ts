/** `quadlet generate` as systemd calls it, and its units' commands against a daemon. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { splitWords } from '#client/quadlet/words.ts';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

function write(name: string, text: string): void {
  const file = path.join(d.directory, 'quadlet', name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

/** What systemd would run for a key of a unit. */
async function execute(
  unit: string,
  key: string,
  directory = path.join(d.directory, 'normal'),
): Promise<{ code: number; stdout: string; stderr: string }> {
  const text = fs.readFileSync(path.join(directory, unit), 'utf8');
  const line = new RegExp(`^${key}=-?(.*)$`, 'm').exec(text)?.[1] ?? '';
  const [program, ...args] = splitWords(line.replaceAll('%N', unit.replace('.service', '')));
  expect(program).toBe('/usr/local/bin/berth');
  return d.berth(args);
}

test('units are written, linked, and their commands work', async () => {
  const normal = path.join(d.directory, 'normal');
  fs.mkdirSync(normal);
  write('data.volume', '[Volume]\nLabel=made=byquadlet\n');
  write('net.network', '[Network]\nInternal=true\nSubnet=10.231.77.0/24\n');
  write(
    'job.container',
    `[Container]\nImage=${IMG}\nVolume=data.volume:/data\nNetwork=none\nEnvironment="A=two words"\n` +
      `Exec=sh -c 'echo "$$A" >/data/out; cat /data/out; exit 3'\n[Install]\nWantedBy=multi-user.target\nAlias=j.service\n`,
  );
  write('long.container', `[Container]\nImage=${IMG}\nNetwork=none\nRunInit=true\nExec=sleep 1000\n`);
  write('bad.container', `[Container]\nImage=${IMG}\nNonsense=1\n`);
  const generated = await d.berth(['quadlet', 'generate', normal, normal, normal], {
    env: { QUADLET_UNIT_DIRS: path.join(d.directory, 'quadlet') },
  });
  expect(generated.code).toBe(1);
  expect(generated.stderr).toBe(
    `berth quadlet: ${d.directory}/quadlet/bad.container:3: key "Nonsense" in [Container]: is not supported\n`,
  );
  expect(fs.readdirSync(normal).sort()).toEqual([
    'data-volume.service',
    'j.service',
    'job.service',
    'long.service',
    'multi-user.target.wants',
    'net-network.service',
  ]);
  for (const link of ['j.service', 'multi-user.target.wants/job.service']) {
    expect(fs.realpathSync(path.join(normal, link))).toBe(fs.realpathSync(path.join(normal, 'job.service')));
  }
  for (let times = 0; times < 2; times++) {
    expect(await execute('data-volume.service', 'ExecStart')).toMatchObject({ code: 0, stdout: 'systemd-data\n' });
    expect(await execute('net-network.service', 'ExecStart')).toMatchObject({ code: 0, stderr: '' });
  }
  const volume = await d.berth(['volume', 'inspect', '--format', '{{.Labels.made}}', 'systemd-data']);
  expect(volume.stdout).toBe('byquadlet\n');
  await d.berth(['network', 'rm', 'systemd-net']);

  // systemd makes one dollar of two.
  const jobs = fs.readFileSync(path.join(normal, 'job.service'), 'utf8');
  fs.writeFileSync(path.join(normal, 'job.service'), jobs.replaceAll('$$', '$'));
  expect(await execute('job.service', 'ExecStart')).toEqual({ code: 3, stdout: 'two words\n', stderr: '' });

  const running = execute('long.service', 'ExecStart');
  await eventually('the container runs', async () => {
    const state = await d.berth(['inspect', '--format', '{{.State.Running}}', 'systemd-long']);
    return state.stdout === 'true\n';
  });
  expect(await execute('long.service', 'ExecStop')).toMatchObject({ code: 0 });
  expect((await running).code).toBe(143);
  await execute('long.service', 'ExecStopPost');
  expect((await d.berth(['inspect', 'systemd-long'])).code).toBe(1);
}, 60_000);

test('the engine takes what the keys become', async () => {
  const normal = path.join(d.directory, 'wide');
  fs.mkdirSync(normal);
  fs.mkdirSync(path.join(d.directory, 'quadlet-wide'));
  fs.writeFileSync(path.join(d.directory, 'quadlet-wide/env'), 'FILE=yes\n');
  const keys = [
    `Image=${IMG}`,
    'ContainerName=wide',
    'AddCapability=NET_ADMIN',
    'DropCapability=MKNOD',
    'AddDevice=-/dev/null:/dev/nothing:rw',
    'AddHost=there:10.0.0.1',
    'Annotation=a=1',
    'Environment=E=1',
    'EnvironmentFile=./env',
    'HealthCmd=true',
    'HealthInterval=1m',
    'HealthRetries=2',
    'HealthStartPeriod=1s',
    'HealthTimeout=2s',
    'HealthOnFailure=kill',
    'HostName=host',
    'Label=l=1',
    'LogDriver=local',
    'LogOpt=max-size=1m',
    'Memory=64m',
    'Network=none',
    'NoNewPrivileges=true',
    'PidsLimit=50',
    'Pull=never',
    'ReadOnly=true',
    'RunInit=true',
    'SeccompProfile=unconfined',
    'ShmSize=1m',
    'StopSignal=SIGINT',
    'StopTimeout=3',
    'Tmpfs=/scratch:size=1m',
    'Ulimit=nofile=100:100',
    'Unmask=ALL',
    'User=0',
    'Group=0',
    'GroupAdd=7',
    'WorkingDir=/tmp',
    'Entrypoint=["sh","-c"]',
    'Exec="echo $E $FILE; pwd; hostname; ulimit -n; cat /dev/nothing; touch /scratch/x /run/x /tmp/x; touch /x 2>/dev/null || echo kept"',
  ];
  fs.writeFileSync(path.join(d.directory, 'quadlet-wide/w.container'), `[Container]\n${keys.join('\n')}\n`);
  const env = { QUADLET_UNIT_DIRS: path.join(d.directory, 'quadlet-wide') };
  expect(await d.berth(['quadlet', 'generate', normal], { env })).toEqual({ code: 0, stdout: '', stderr: '' });
  expect(await execute('w.service', 'ExecStart', normal)).toEqual({
    code: 0,
    stdout: '1 yes\n/tmp\nhost\n100\nkept\n',
    stderr: '',
  });
}, 60_000);

test("a user's generator is refused", async () => {
  const refused = await d.berth(['quadlet', 'generate', '--user', d.directory]);
  expect([refused.code, refused.stderr]).toEqual([
    1,
    "berth: --user is not supported: containers are the host's, not a user's\n",
  ]);
});
