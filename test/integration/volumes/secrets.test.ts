/** `berth secret` and `--secret`: values that containers get and nobody else sees. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
const VALUE = 'swordfish-4711-very-secret';
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true, args: ['--debug'] });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const berth = async (args: readonly string[], input?: string) => {
  const r = await d.berth(args, input === undefined ? {} : { input });
  if (r.code !== 0) throw new Error(`berth ${args.join(' ')}: ${r.code} ${r.stderr}\n${d.log.slice(-1500)}`);
  return r.stdout.trim();
};
// What a program prints is kept in the log archive, secrets too: these print theirs.
const run = (...args: string[]) => berth(['run', '--rm', '--log-driver', 'none', ...none, ...args]);
const refused = async (...args: string[]) => {
  const r = await d.berth(args);
  expect(r.code).not.toBe(0);
  return r.stderr;
};

/** Files below the roots of the daemon that hold the value, in any usual form. */
function filesWith(value: string): string[] {
  const forms = (['utf8', 'hex'] as const).map((form) => Buffer.from(value).toString(form));
  forms.push(Buffer.from(value).toString('base64').replace(/=+$/, '').slice(0, -2));
  const found: string[] = [];
  for (const root of [d.dataRoot, d.execRoot]) {
    for (const entry of fs.readdirSync(root, { recursive: true, encoding: 'utf8' })) {
      const file = path.join(root, entry);
      if (fs.lstatSync(file, { throwIfNoEntry: false })?.isFile() !== true) continue;
      const content = fs.readFileSync(file);
      if (forms.some((form) => content.includes(form))) found.push(file);
    }
  }
  return found;
}

test('create, ls, inspect, rm', async () => {
  const id = await berth(['secret', 'create', '--label', 'a=b', 'token', '-'], VALUE);
  expect(id).toMatch(/^[0-9a-f]{25}$/);
  expect(await berth(['secret', 'ls', '--format', '{{.ID}} {{.Name}} {{.Driver}}'])).toBe(`${id} token file`);
  const [shown] = JSON.parse(await berth(['secret', 'inspect', 'token'])) as Record<string, unknown>[];
  expect(Object.keys(shown ?? {})).toEqual(['ID', 'CreatedAt', 'UpdatedAt', 'Spec']);
  expect(shown?.['Spec']).toEqual({ Name: 'token', Driver: { Name: 'file', Options: {} }, Labels: { a: 'b' } });
  expect(await refused('secret', 'create', 'token', '/etc/hostname')).toContain('secret name in use: token');
  expect(await refused('secret', 'inspect', 'nosuch')).toContain('no such secret');
  const file = path.join(d.directory, 'value');
  fs.writeFileSync(file, 'from a file');
  await berth(['secret', 'create', 'other', file]);
  await berth(['secret', 'create', '--replace', 'other', file]);
  await d.berth(['secret', 'create', '--env', 'variable', 'GIVEN'], { env: { GIVEN: 'x' } });
  expect((await berth(['secret', 'ls', '-q'])).split('\n')).toHaveLength(3);
  expect(await berth(['secret', 'rm', 'other', 'variable'])).toBe('other\nvariable');
  expect((await d.docker(['secret', 'ls'])).stderr).toContain('This node is not a swarm manager');
}, 60_000);

test('a file in memory at /run/secrets, or elsewhere, with owner and mode', async () => {
  const look = 'cat /run/secrets/token; stat -c " %u %g %a" /run/secrets/token; mount | grep " /run/secrets "';
  const shown = await run('--secret', 'token', IMG, 'sh', '-c', look);
  expect(shown).toStartWith(`${VALUE} 0 0 444\nsecrets on /run/secrets type tmpfs (ro,nosuid,nodev,noexec`);
  const owned = 'token,uid=7,gid=8,mode=0400,target=sub';
  expect(await run('--secret', owned, IMG, 'stat', '-c', '%u %g %a', '/run/secrets/sub')).toBe('7 8 400');
  const elsewhere = ['--secret', 'token,target=/etc/app/token', '--secret', 'source=token,target=two'];
  expect(await run(...elsewhere, IMG, 'sh', '-c', 'cat /etc/app/token; echo; cat /run/secrets/two')).toBe(
    `${VALUE}\n${VALUE}`,
  );
  expect(await run('--read-only', '--secret', 'token', IMG, 'cat', '/run/secrets/token')).toBe(VALUE);
  expect((await d.berth(['run', '--rm', ...none, '--secret', 'token', IMG, 'touch', '/run/secrets/x'])).code).toBe(1);
}, 60_000);

test('a variable of the first process only', async () => {
  const args = ['--secret', 'token,type=env,target=TOKEN', '-e', 'TOKEN=overridden', IMG];
  expect(await run(...args, 'sh', '-c', 'echo $TOKEN')).toBe(VALUE);
  expect(await run('--secret', 'token,type=env', IMG, 'sh', '-c', 'echo $token')).toBe(VALUE);
  await berth(['run', '-d', '--name', 'lives', ...none, '--secret', 'token,type=env', IMG, 'sleep', '100']);
  expect(await berth(['exec', 'lives', 'env'])).not.toContain(VALUE);
  await berth(['rm', '-f', 'lives']);
}, 60_000);

test('the value stands nowhere: not in the roots, inspect, events, jobs or the daemon’s log', async () => {
  const since = String(Date.now() / 1000 - 60);
  const both = ['--secret', 'token', '--secret', 'token,type=env,target=TOKEN'];
  await berth(['run', '-d', '--name', 'user', ...none, ...both, IMG, 'sleep', '100']);
  expect(filesWith(VALUE)).toEqual([]);
  expect(JSON.stringify((await d.request('GET', '/containers/user/json')).body)).not.toContain(VALUE);
  expect(JSON.stringify((await d.request('GET', '/berth/jobs')).body)).not.toContain(VALUE);
  const until = String(Date.now() / 1000 + 1);
  const events = await d.must(['events', '--since', since, '--until', until]);
  expect(events).toContain('secret create');
  expect(events).not.toContain(VALUE);
  expect(d.log).not.toContain(VALUE);
  // The host has no mount of it; a restart of the daemon and of the container keeps it.
  expect(fs.readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(d.execRoot);
  await d.restart();
  await berth(['restart', '-t', '0', 'user']);
  expect(await berth(['exec', 'user', 'cat', '/run/secrets/token'])).toBe(VALUE);
  expect(filesWith(VALUE)).toEqual([]);
  expect(await refused('secret', 'rm', 'token')).toContain('secret token is used by container');
  await berth(['rm', '-f', 'user']);
  expect(filesWith(VALUE)).toEqual([]);
}, 60_000);

test('what cannot be is refused, and nothing is left', async () => {
  const create = (secret: string, ...more: string[]) => refused('create', ...none, ...more, '--secret', secret, IMG);
  expect(await create('nosuch')).toContain('no such secret');
  expect(await create('token,type=odd')).toContain('type "odd" is invalid');
  expect(await create('token,type=env,mode=0400')).toContain('cannot be set with secret type env');
  expect(await create('token,target=../../etc/x')).toContain('leaves /run/secrets');
  expect(await create('token,target=/proc/x')).toContain('inside /proc');
  expect(await create('token', '--secret', 'token')).toContain('two secrets have the target');
  expect(await create('token', '--runtime', 'runc')).toMatch(
    /not supported with the runtime "runc"|unknown or invalid runtime/,
  );
  expect(await d.must(['ps', '-aq'])).toBe('');
  // The secret is gone between create and start.
  await berth(['secret', 'create', 'brief', '-'], 'x');
  fs.rmSync(path.join(d.dataRoot, 'secrets/key'));
  await berth(['create', '--name', 'late', ...none, '--secret', 'brief', IMG, 'true']);
  expect(await refused('start', 'late')).toContain('the key of the secrets, is missing');
  await berth(['rm', 'late']);
  await berth(['secret', 'rm', '--all']);
}, 60_000);

test('with ids of its own a container still reads what is its', async () => {
  await berth(['secret', 'create', 'token', '-'], VALUE);
  const args = ['--userns', 'auto', '--secret', 'token,uid=5,gid=6,mode=0400', IMG];
  const r = await d.berth([
    'run',
    '--rm',
    ...none,
    '-u',
    '5:6',
    ...args,
    'sh',
    '-c',
    'cat /run/secrets/token; stat -c " %u %g" /run/secrets/token',
  ]);
  expect([r.stderr, r.stdout]).toEqual(['', `${VALUE} 5 6\n`]);
}, 60_000);
