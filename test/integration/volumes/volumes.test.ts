/** The Volume group of the API with the stock docker CLI: create, ls, inspect, rm, prune, and their events. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
// as: it stands for a text.
const containing = (text: string) => expect.stringContaining(text) as string;
const matching = (pattern: RegExp) => expect.stringMatching(pattern) as string;
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const lines = (text: string) => text.split('\n').filter((line) => line !== '');
const names = async (...args: string[]) => lines(await d.must(['volume', 'ls', '-q', ...args])).sort();

test('create: a name twice is the same volume, a bad name and bad options are told in dockerd’s words', async () => {
  expect(await d.must(['volume', 'create', 'one'])).toBe('one');
  expect(await d.must(['volume', 'create', 'one'])).toBe('one');
  await d.must(['volume', 'create', '--label', 'a=b', '--label', 'c', 'two']);
  const refusals: [string[], string][] = [
    [['a'], 'create a: volume name is too short, names should be at least two alphanumeric characters'],
    [['b@d'], 'create b@d: "b@d" includes invalid characters for a local volume name'],
    [['-d', 'nosuch', 'x1'], 'create x1: error looking up volume plugin nosuch: plugin "nosuch" not found'],
    [['-d', 'no/such', 'x1'], 'create x1: error looking up volume plugin no/such: plugin "no/such" not found'],
    [['-o', 'foo=bar', 'x1'], 'create x1: invalid option: "foo"'],
    [['-o', 'type=tmpfs', 'x1'], 'create x1: missing required option: "device"'],
    [['-o', 'device=/x', 'x1'], 'create x1: missing required option: "type"'],
    [['-o', 'o=bind', 'x1'], 'create x1: missing required option: "device"'],
    [['-o', 'size=10q', 'x1'], "create x1: invalid size: '10q'"],
  ];
  for (const [args, message] of refusals) {
    const r = await d.docker(['volume', 'create', ...args]);
    expect([r.code, r.stderr]).toEqual([1, containing(`Error response from daemon: ${message}`)]);
  }
  const { status, body } = await d.request('POST', '/v1.47/volumes/create', {});
  expect(status).toBe(201);
  const anonymous = (body as { Name: string; Labels: Record<string, string> }).Name;
  expect(anonymous).toMatch(/^[0-9a-f]{64}$/);
  expect((body as { Labels: unknown }).Labels).toEqual({ 'com.docker.volume.anonymous': '' });
  expect((await d.request('POST', '/v1.47/volumes/create')).status).toBe(400);
  expect((await d.request('PUT', '/v1.47/volumes/one', {})).status).toBe(503);
  await d.must(['volume', 'rm', anonymous]);
}, 60_000);

test('ls filters and inspect', async () => {
  await d.must(['create', '--name', 'user', ...none, '-v', 'one:/x', IMG, 'true']);
  expect(await names('--filter', 'dangling=true')).toEqual(['two']);
  expect(await names('--filter', 'dangling=false')).toEqual(['one']);
  expect(await names('--filter', 'label=a')).toEqual(['two']);
  expect(await names('--filter', 'label=a=c')).toEqual([]);
  expect(await names('--filter', 'name=on')).toEqual(['one']);
  expect(await names('--filter', 'driver=local')).toEqual(['one', 'two']);
  expect(await names('--filter', 'driver=other')).toEqual([]);
  expect((await d.docker(['volume', 'ls', '--filter', 'foo=bar'])).stderr).toContain("invalid filter 'foo'");
  expect((await d.docker(['volume', 'ls', '--filter', 'dangling=x'])).stderr).toContain(
    "invalid filter 'dangling=[x]'",
  );
  const inspected: unknown = JSON.parse(await d.must(['volume', 'inspect', 'two']));
  expect(inspected).toEqual([
    {
      CreatedAt: matching(/^\d{4}-\d\d-\d\dT/),
      Driver: 'local',
      Labels: { a: 'b', c: '' },
      Mountpoint: path.join(d.dataRoot, 'volumes/two/_data'),
      Name: 'two',
      Options: null,
      Scope: 'local',
    },
  ]);
  const missing = await d.docker(['volume', 'inspect', 'nosuch']);
  expect([missing.code, missing.stderr]).toEqual([1, containing('get nosuch: no such volume')]);
  fs.writeFileSync(path.join(d.dataRoot, 'volumes/one/_data/file'), 'x'.repeat(1000));
  const { body } = await d.request('GET', '/v1.47/volumes/one?size=1');
  expect((body as { UsageData: unknown }).UsageData).toEqual({ Size: 1000, RefCount: 1 });
}, 60_000);

test('rm: in use is 409 with the users, missing is 404 unless forced', async () => {
  const id = await d.must(['inspect', '-f', '{{.Id}}', 'user']);
  const used = await d.docker(['volume', 'rm', 'one']);
  expect([used.code, used.stderr]).toEqual([1, containing(`remove one: volume is in use - [${id}]`)]);
  expect((await d.request('DELETE', '/v1.47/volumes/one?force=1')).status).toBe(409);
  expect((await d.request('DELETE', '/v1.47/volumes/nosuch')).status).toBe(404);
  expect((await d.request('DELETE', '/v1.47/volumes/nosuch?force=1')).status).toBe(204);
  await d.must(['rm', '-v', 'user']);
  expect(await names()).toEqual(['one', 'two']);
  await d.must(['volume', 'rm', 'one', 'two']);
  expect(fs.readdirSync(path.join(d.dataRoot, 'volumes'))).toEqual([]);
}, 60_000);

test('something that is mounted inside a volume keeps it from being removed', async () => {
  await d.must(['volume', 'create', 'covered']);
  const inner = path.join(d.dataRoot, 'volumes/covered/_data/inner');
  fs.mkdirSync(inner);
  expect((await run('mount', ['-t', 'tmpfs', 'tmpfs', inner])).code).toBe(0);
  try {
    fs.writeFileSync(path.join(inner, 'precious'), 'x');
    expect((await d.docker(['volume', 'rm', 'covered'])).stderr).toContain('is a mount point: unmount it first');
    expect(fs.existsSync(path.join(inner, 'precious'))).toBe(true);
  } finally {
    await run('umount', [inner]);
  }
  await d.must(['volume', 'rm', 'covered']);
}, 60_000);

test('prune: since API 1.42 anonymous ones only, unless all is asked for; filters; what was freed', async () => {
  await d.must(['volume', 'create', '--label', 'keep', 'named']);
  await d.must(['volume', 'create', 'other']);
  await d.must(['run', '--name', 'maker', ...none, '-v', '/v', IMG, 'sh', '-c', 'head -c 5000 /dev/zero > /v/x']);
  expect(await d.must(['volume', 'prune', '-f'])).toBe('Total reclaimed space: 0B');
  await d.must(['rm', 'maker']);
  const pruned = await d.must(['volume', 'prune', '-f']);
  expect(pruned).toMatch(/^Deleted Volumes:\n[0-9a-f]{64}\n\nTotal reclaimed space: 5kB$/);
  expect(await names()).toEqual(['named', 'other']);
  await d.must(['volume', 'prune', '-f', '-a', '--filter', 'label!=keep']);
  expect(await names()).toEqual(['named']);
  const old = await d.request('POST', '/v1.41/volumes/prune?filters={"label":["nosuch"]}');
  expect(old).toEqual({ status: 200, body: { VolumesDeleted: null, SpaceReclaimed: 0 } });
  expect((await d.request('POST', '/v1.41/volumes/prune')).body).toEqual({
    VolumesDeleted: ['named'],
    SpaceReclaimed: 0,
  });
  expect((await d.request('POST', '/v1.47/volumes/prune?filters={"foo":["x"]}')).status).toBe(400);
}, 60_000);

test('a prune beside creates takes no volume from a container that is being made', async () => {
  let stop = false;
  const pruner = (async () => {
    while (!stop) await d.request('POST', '/v1.41/volumes/prune');
  })();
  try {
    for (let i = 0; i < 8; i++) {
      await d.must([
        'run',
        '--name',
        'raced',
        ...none,
        '-v',
        `race${i % 2}:/v`,
        '-v',
        '/anonymous',
        IMG,
        'touch',
        '/v/x',
      ]);
      await d.must(['rm', '-v', 'raced']);
    }
  } finally {
    stop = true;
    await pruner;
  }
  await d.must(['volume', 'prune', '-a', '-f']);
}, 60_000);

test('events: create, mount, unmount, destroy', async () => {
  const since = String(Date.now() / 1000);
  await d.must(['run', '--rm', ...none, '-v', 'told:/t:ro', IMG, 'true']);
  await d.must(['volume', 'rm', 'told']);
  const until = String(Date.now() / 1000 + 1);
  const format =
    '{{.Action}} {{.Actor.ID}} {{index .Actor.Attributes "driver"}} {{index .Actor.Attributes "read/write"}}';
  const events = await d.must([
    ...['events', '--since', since, '--until', until, '--filter', 'type=volume', '--filter', 'volume=told'],
    ...['--format', format],
  ]);
  expect(lines(events).map((line) => line.trim())).toEqual([
    'create told local',
    'mount told local false',
    'unmount told local',
    'destroy told local',
  ]);
}, 60_000);

test('local driver: tmpfs and bind are mounted with the first container and go with the last', async () => {
  const outside = path.join(d.directory, 'outside');
  fs.mkdirSync(outside);
  fs.writeFileSync(path.join(outside, 'file'), 'of the host');
  const options = (o: string, type: string, device: string) => [
    '-o',
    `type=${type}`,
    '-o',
    `device=${device}`,
    '-o',
    `o=${o}`,
  ];
  await d.must(['volume', 'create', ...options('size=1m,uid=1000', 'tmpfs', 'tmpfs'), 'memory']);
  await d.must(['volume', 'create', ...options('bind', 'none', outside), 'bound']);
  await d.must(['volume', 'create', ...options('bind', 'none', '/nosuch/dir'), 'broken']);
  const place = (name: string) => path.join(d.dataRoot, 'volumes', name, '_data');
  const mounted = (name: string) => fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${place(name)} `);

  const shown = await d.must(['run', '--rm', ...none, '-v', 'memory:/x', IMG, 'sh', '-c', 'mount | grep " /x "']);
  expect(shown).toContain('size=1024k,uid=1000');
  expect(mounted('memory')).toBe(false);

  for (const name of ['c1', 'c2'])
    await d.must(['run', '-d', '--name', name, ...none, '-v', 'bound:/x', '-v', 'memory:/y', IMG, 'sleep', '100']);
  expect([mounted('bound'), mounted('memory')]).toEqual([true, true]);
  expect(await d.must(['exec', 'c1', 'cat', '/x/file'])).toBe('of the host');
  await d.must(['exec', 'c1', 'touch', '/y/shared']);
  expect(await d.must(['exec', 'c2', 'ls', '/y'])).toBe('shared');
  await d.must(['rm', '-f', 'c1']);
  expect(mounted('bound')).toBe(true);
  // A new daemon finds the mounts, and those that lost their last user are gone.
  await d.restart();
  expect(await d.must(['exec', 'c2', 'ls', '/y'])).toBe('shared');
  expect(mounted('bound')).toBe(true);
  await d.must(['rm', '-f', 'c2']);
  expect([mounted('bound'), mounted('memory')]).toEqual([false, false]);

  const failed = await d.docker(['run', '--rm', ...none, '-v', 'broken:/x', IMG, 'true']);
  expect(failed.stderr).toContain(
    `error while mounting volume '${place('broken')}': failed to mount local volume: mount /nosuch/dir:${place('broken')}, flags: 0x1000: no such file or directory`,
  );
  await d.must(['volume', 'rm', 'memory', 'bound', 'broken']);
  expect(fs.readFileSync(path.join(outside, 'file'), 'utf8')).toBe('of the host');
}, 60_000);

test('local driver: mounts whose container ended while no daemon ran are taken away', async () => {
  await d.must(['volume', 'create', '-o', 'type=tmpfs', '-o', 'device=tmpfs', 'lost']);
  await d.must(['run', '-d', '--name', 'short', ...none, '-v', 'lost:/x', IMG, 'sleep', '100']);
  const pid = Number(await d.must(['inspect', '-f', '{{.State.Pid}}', 'short']));
  const place = path.join(d.dataRoot, 'volumes/lost/_data');
  await d.kill();
  process.kill(pid, 'SIGKILL');
  await d.launch();
  await eventually('it is unmounted', () => !fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${place} `));
  await d.must(['rm', 'short']);
  await d.must(['volume', 'rm', 'lost']);
}, 60_000);

test('local driver: a file system that may wait is mounted beside, and the kernel’s answer is told', async () => {
  await d.must(['volume', 'create', '-o', 'type=nosuchfs', '-o', 'device=x', 'odd']);
  const failed = await d.docker(['run', '--rm', ...none, '-v', 'odd:/x', IMG, 'true']);
  expect(failed.stderr).toContain(
    `failed to mount local volume: mount x:${d.dataRoot}/volumes/odd/_data: no such device`,
  );
  await d.must(['volume', 'rm', 'odd']);
}, 60_000);
