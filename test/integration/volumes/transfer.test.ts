/** Beyond Docker: volumes exported, imported, renamed and cloned; and `berth volume` altogether. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { tar } from '../../support/base-images.ts';
import { must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
  // Everything that a copy could lose.
  const script =
    'mkdir -p sub/deep; echo text > sub/deep/file; ln sub/deep/file twin; ln -s /etc/passwd out; mkfifo pipe; ' +
    'chown 7:8 sub/deep/file; chmod 4750 sub/deep/file; chmod 1777 .; chown 5:6 .; ' +
    'dd if=/dev/zero of=sparse bs=1 count=1 seek=50000000 2>/dev/null';
  await d.must(['run', '--rm', ...none, '-v', 'full:/v', '-w', '/v', IMG, 'sh', '-c', script]);
  await must('setfattr', ['-n', 'user.note', '-v', 'kept', path.join(place('full'), 'sub/deep/file')]).catch(
    () => undefined,
  );
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const place = (name: string) => path.join(d.dataRoot, 'volumes', name, '_data');
const berth = async (...args: string[]) => {
  const r = await d.berth(args);
  if (r.code !== 0) throw new Error(`berth ${args.join(' ')}: ${r.stderr}\n${d.log.slice(-2000)}`);
  return r.stdout.trim();
};

function checkCopy(name: string, wholeTimes: boolean): void {
  const root = fs.statSync(place(name));
  expect([root.mode & 0o7777, root.uid, root.gid]).toEqual([0o1777, 5, 6]);
  const file = fs.statSync(path.join(place(name), 'sub/deep/file'));
  expect([file.mode & 0o7777, file.uid, file.gid, file.nlink]).toEqual([0o4750, 7, 8, 2]);
  expect(fs.statSync(path.join(place(name), 'twin')).ino).toBe(file.ino);
  expect(fs.readlinkSync(path.join(place(name), 'out'))).toBe('/etc/passwd');
  expect(fs.lstatSync(path.join(place(name), 'pipe')).isFIFO()).toBe(true);
  expect(fs.statSync(path.join(place(name), 'sparse')).size).toBe(50_000_001);
  const original = fs.statSync(path.join(place('full'), 'sub/deep/file'));
  const near = Math.abs(file.mtimeMs - original.mtimeMs);
  expect(near).toBeLessThan(wholeTimes ? 1000 : 1);
}

test('export and import: the same tree, by file and by stream, plain and compressed', async () => {
  const file = path.join(d.directory, 'full.tar');
  await berth('volume', 'export', '-o', file, 'full');
  const names = (await must('tar', ['-tf', file])).split('\n');
  expect(names).toContain('./sub/deep/file');
  expect(await berth('volume', 'import', 'again', file)).toBe('again');
  checkCopy('again', true);
  await must('gzip', ['-1', file]);
  expect(await berth('volume', 'import', 'packed', `${file}.gz`)).toBe('packed');
  checkCopy('packed', true);
  const piped = await d.berth(['volume', 'import', 'piped'], { input: fs.readFileSync(`${file}.gz`) });
  expect([piped.code, piped.stdout]).toEqual([0, 'piped\n']);
  checkCopy('piped', true);

  // Into a volume that is there: added to what it has.
  fs.writeFileSync(path.join(place('again'), 'own'), 'mine');
  fs.writeFileSync(path.join(place('again'), 'sub/deep/file'), 'other');
  await berth('volume', 'import', 'again', `${file}.gz`);
  expect(fs.readFileSync(path.join(place('again'), 'own'), 'utf8')).toBe('mine');
  expect(fs.readFileSync(path.join(place('again'), 'sub/deep/file'), 'utf8')).toBe('text\n');
  await d.must(['volume', 'rm', 'again', 'packed', 'piped']);
  expect((await d.berth(['volume', 'export', 'nosuch'])).stderr).toContain('get nosuch: no such volume');
}, 60_000);

test('import: what is no archive, or is cut off, makes no volume', async () => {
  const whole = fs.readFileSync(await exported());
  const broken: [string, Buffer][] = [
    ['empty', Buffer.alloc(0)],
    ['text', Buffer.from('this is no archive'.repeat(100))],
    ['cut', whole.subarray(0, 5000)],
  ];
  for (const [name, bytes] of broken) {
    const r = await d.berth(['volume', 'import', name], { input: bytes });
    expect([name, r.code]).toEqual([name, 1]);
  }
  expect((await d.must(['volume', 'ls', '-q'])).split('\n')).toEqual(['full']);
  expect(fs.readdirSync(path.join(d.dataRoot, 'volumes'))).toEqual(['full']);
}, 60_000);

async function exported(): Promise<string> {
  const file = path.join(d.directory, 'whole.tar');
  await berth('volume', 'export', '-o', file, 'full');
  return file;
}

test('import: a hostile archive stays inside', async () => {
  const outside = path.join(d.directory, 'outside');
  fs.mkdirSync(outside);
  const evil = [
    tar([{ name: '../escaped', type: '0', mode: 0o644, content: Buffer.from('x') }]),
    tar([
      { name: 'link', type: '2', mode: 0o777, link: outside },
      { name: 'link/escaped', type: '0', mode: 0o644, content: Buffer.from('x') },
    ]),
    tar([{ name: 'hard', type: '1', mode: 0o644, link: '../../../../../../../../etc/passwd' }]),
  ];
  for (const bytes of evil) await d.berth(['volume', 'import', 'evil'], { input: bytes });
  expect(fs.readdirSync(outside)).toEqual([]);
  expect(fs.existsSync(path.join(d.dataRoot, 'volumes/escaped'))).toBe(false);
  expect(fs.existsSync(path.join(d.dataRoot, 'volumes/evil/escaped'))).toBe(false);
  await d.docker(['volume', 'rm', '-f', 'evil']);
}, 60_000);

test('rename: contents and labels go along; not while it is used, not onto another', async () => {
  await d.must(['volume', 'create', '--label', 'a=b', 'old']);
  fs.writeFileSync(path.join(place('old'), 'x'), 'x');
  await d.must(['create', '--name', 'user', ...none, '-v', 'old:/x', IMG, 'true']);
  expect((await d.berth(['volume', 'rename', 'old', 'new'])).stderr).toContain('rename old: volume is in use - [');
  await d.must(['rm', 'user']);
  expect((await d.berth(['volume', 'rename', 'old', 'full'])).stderr).toContain('volume full exists already');
  expect((await d.berth(['volume', 'rename', 'old', '../x'])).stderr).toContain('includes invalid characters');
  await berth('volume', 'rename', 'old', 'new');
  expect(fs.readFileSync(path.join(place('new'), 'x'), 'utf8')).toBe('x');
  expect((await d.must(['volume', 'ls', '-q', '--filter', 'label=a=b'])).split('\n')).toEqual(['new']);
  await d.restart();
  expect(fs.readFileSync(path.join(place('new'), 'x'), 'utf8')).toBe('x');
  await d.must(['volume', 'rm', 'new']);
}, 60_000);

test('clone: a volume of its own with everything that the first has, holes too', async () => {
  expect(await berth('volume', 'clone', 'full', 'twin')).toBe('twin');
  checkCopy('twin', false);
  expect(fs.statSync(path.join(place('twin'), 'sparse')).blocks).toBeLessThan(1000);
  fs.writeFileSync(path.join(place('twin'), 'sub/deep/file'), 'changed');
  expect(fs.readFileSync(path.join(place('full'), 'sub/deep/file'), 'utf8')).toBe('text\n');
  expect((await d.berth(['volume', 'clone', 'full', 'twin'])).stderr).toContain('volume twin exists already');
  expect((await d.berth(['volume', 'clone', 'nosuch', 'x1'])).stderr).toContain('get nosuch: no such volume');
  await d.must(['volume', 'rm', 'twin']);
}, 60_000);

test('a failure at each step of a clone leaves no volume and no directory', async () => {
  for (const point of ['volume.filled', 'volume.moving']) {
    await d.restart('SIGTERM', { BERTH_FAILPOINTS: `${point}=error` });
    const r = await d.berth(['volume', 'clone', 'full', 'half']);
    expect([point, r.code]).toEqual([point, 1]);
    await d.restart('SIGTERM');
    expect((await d.must(['volume', 'ls', '-q'])).split('\n')).toEqual(['full']);
    expect(fs.readdirSync(path.join(d.dataRoot, 'volumes'))).toEqual(['full']);
  }
}, 60_000);

test('berth volume create, ls, inspect, rm, prune, update', async () => {
  expect(await berth('volume', 'create', '--label', 'k=v', 'own')).toBe('own');
  expect(await berth('volume', 'ls')).toBe('DRIVER    VOLUME NAME\nlocal     full\nlocal     own');
  expect(await berth('volume', 'ls', '-q', '--filter', 'label=k')).toBe('own');
  const ours = JSON.parse(await berth('volume', 'ls', '--format', 'json', '--filter', 'name=own')) as unknown;
  expect(ours).toEqual(JSON.parse(await d.must(['volume', 'ls', '--format', 'json', '--filter', 'name=own'])));
  expect(await berth('volume', 'inspect', 'own')).toBe(await d.must(['volume', 'inspect', 'own']));
  expect(await berth('inspect', '-f', '{{.Name}}', 'own')).toBe('own');
  expect(await berth('volume', 'inspect', '-s', '-f', '{{.UsageData.Size}}', 'own')).toBe('0');
  expect((await d.berth(['volume', 'create', '--group', 'x'])).stderr).toContain(
    'cluster volumes need a swarm manager',
  );
  expect((await d.berth(['volume', 'update', 'own'])).stderr).toContain('This node is not a swarm manager');
  const no = await d.berth(['volume', 'prune', '-a'], { input: 'n\n' });
  expect([no.code, no.stdout]).toEqual([
    0,
    'WARNING! This will remove all local volumes not used by at least one container.\nAre you sure you want to continue? [y/N] ',
  ]);
  const yes = await d.berth(['volume', 'prune', '-a', '--filter', 'label=k'], { input: 'y\n' });
  expect(yes.stdout).toContain('Deleted Volumes:\nown\n\nTotal reclaimed space: 0B\n');
  expect(await berth('volume', 'rm', 'full')).toBe('full');
}, 60_000);
