/** `docker cp`, `diff` and `export` by the stock CLI, of running and stopped containers, and the archive API itself. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import zlib from 'node:zlib';
import { run } from '../../support/command.ts';
import { bzip2Tar, storedXz } from '../../support/packed.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
let here: string;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
  fs.writeFileSync(path.join(d.directory, 'outside'), 'the host');
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);
beforeEach(() => {
  here = fs.mkdtempSync(path.join(d.directory, 'here-'));
});

const none = ['--network', 'none'];
const start = (name: string, ...flags: string[]) =>
  d.must(['run', '-d', '--name', name, ...none, ...flags, IMG, 'sleep', '1000']);
const sh = (name: string, script: string) => d.must(['exec', name, 'sh', '-c', script]);
const gone = (...names: string[]) => d.must(['rm', '-f', '-v', ...names]);

async function listOf(archive: Uint8Array): Promise<string[]> {
  return (await run('tar', ['tf', '-'], { input: archive })).stdout.trim().split('\n');
}

async function get(target: string): Promise<{ status: number; stat: unknown; body: Buffer }> {
  const r = await fetch(`http://berth${target}`, { unix: d.socket });
  const header = r.headers.get('x-docker-container-path-stat');
  const stat: unknown = header === null ? undefined : JSON.parse(Buffer.from(header, 'base64').toString());
  return { status: r.status, stat, body: Buffer.from(await r.arrayBuffer()) };
}

async function put(target: string, body: Uint8Array): Promise<{ status: number; text: string }> {
  const r = await fetch(`http://berth${target}`, { unix: d.socket, method: 'PUT', body });
  return { status: r.status, text: await r.text() };
}

function tarOf(directory: string, ...args: string[]): Promise<Uint8Array> {
  const child = Bun.spawn(['tar', 'cf', '-', '-C', directory, ...args], { stdout: 'pipe' });
  return new Response(child.stdout).bytes();
}

test('files, trees and links go in and come out, of a running and of a stopped container', async () => {
  fs.mkdirSync(path.join(here, 'tree/sub'), { recursive: true });
  fs.writeFileSync(path.join(here, 'tree/sub/file'), 'in the tree');
  fs.writeFileSync(path.join(here, 'tree/large'), Buffer.alloc(3_000_001, 'x'));
  fs.symlinkSync('sub/file', path.join(here, 'tree/link'));
  fs.linkSync(path.join(here, 'tree/sub/file'), path.join(here, 'tree/twin'));
  fs.chmodSync(path.join(here, 'tree/sub'), 0o2770);
  fs.chownSync(path.join(here, 'tree/sub'), 1234, 4321);
  await start('runs');
  await d.must(['create', '--name', 'stands', ...none, IMG, 'sh']);
  for (const name of ['runs', 'stands']) {
    await d.must(['cp', path.join(here, 'tree'), `${name}:/root/new`]);
    // Into an existing directory: below its own name.
    await d.must(['cp', path.join(here, 'tree'), `${name}:/root`]);
    await d.must(['cp', `${path.join(here, 'tree')}/.`, `${name}:/tmp`]);
    for (const [inside, out] of [
      ['/root/new', 'new'],
      ['/root/tree', 'tree2'],
    ] as const) {
      const to = path.join(here, `${name}-${out}`);
      await d.must(['cp', `${name}:${inside}`, to]);
      expect(fs.readFileSync(path.join(to, 'sub/file'), 'utf8')).toBe('in the tree');
      expect(fs.readlinkSync(path.join(to, 'link'))).toBe('sub/file');
      expect(fs.statSync(path.join(to, 'large')).size).toBe(3_000_001);
      expect(fs.statSync(path.join(to, 'twin')).ino).toBe(fs.statSync(path.join(to, 'sub/file')).ino);
    }
    const stat = await get(`/containers/${name}/archive?path=/tmp/sub`);
    expect((await listOf(stat.body)).sort()).toEqual(['sub/', 'sub/file']);
    expect(stat.stat).toMatchObject({ name: 'sub', mode: 2 ** 31 + 2 ** 22 + 0o770, linkTarget: '' });
  }
  // What docker keeps of owners: the numbers.
  expect(await sh('runs', 'stat -c "%u %g %a" /root/new/sub')).toBe('1234 4321 2770');
  // A stopped one starts with what was copied in.
  await d.must(['start', 'stands']);
  await gone('runs', 'stands');
}, 60_000);

test('trailing slashes, /. and links mean what they mean to docker', async () => {
  await start('paths');
  await sh(
    'paths',
    'mkdir /root/d; echo x > /root/d/f; ln -s d /root/l; ln -s /nowhere /root/broken; ln -s /etc/passwd /root/abs',
  );
  const names = async (p: string) => (await listOf((await get(`/containers/paths/archive?path=${p}`)).body)).join(' ');
  expect(await names('/root/d')).toBe('d/ d/f');
  expect(await names('/root/d/.')).toBe('./ ./f');
  expect(await names('/root/l')).toBe('l');
  expect(await names('/root/l/')).toBe('l/ l/f');
  expect(await names('/root/l/f')).toBe('f');
  expect(await names('root/../root/d/')).toBe('d/ d/f');
  const link = (target: string) => get(`/containers/paths/archive?path=${target}`);
  expect((await link('/root/l')).stat).toMatchObject({ name: 'l', linkTarget: '/root/d' });
  expect((await link('/root/abs')).stat).toMatchObject({ linkTarget: '/etc/passwd' });
  expect((await link('/root/broken')).stat).toMatchObject({ linkTarget: '/nowhere' });
  const missing = await link('/root/none');
  expect(missing.status).toBe(404);
  expect(missing.body.toString()).toContain('Could not find the file /root/none in container paths');
  expect((await link('/root/d/f/')).status).toBe(400);
  expect((await link('')).status).toBe(400);
  await d.must(['cp', '-L', 'paths:/root/abs', path.join(here, 'followed')]);
  expect(fs.lstatSync(path.join(here, 'followed')).isFile()).toBe(true);
  const r = await d.docker(['cp', 'paths:/root/none', here]);
  expect(r.code).toBe(1);
  expect(r.stderr).toContain('Could not find the file /root/none in container paths');
  await gone('paths');
}, 60_000);

test('volumes, binds and tmpfs are there, those of a stopped container too', async () => {
  const bind = path.join(here, 'bind');
  fs.mkdirSync(bind);
  const flags = ['-v', 'kept:/vol', '-v', `${bind}:/bind`, '-v', `${bind}:/vol/inner:ro`, '--tmpfs', '/scratch'];
  await start('mounts', ...flags);
  fs.writeFileSync(path.join(here, 'f'), 'copied');
  await sh('mounts', 'echo there > /scratch/t');
  for (const target of ['/vol', '/bind', '/scratch']) await d.must(['cp', path.join(here, 'f'), `mounts:${target}/f`]);
  expect(await sh('mounts', 'cat /vol/f /bind/f /scratch/f')).toBe('copiedcopiedcopied');
  expect(fs.readFileSync(path.join(bind, 'f'), 'utf8')).toBe('copied');
  await d.must(['cp', 'mounts:/scratch/t', path.join(here, 't')]);
  expect(fs.readFileSync(path.join(here, 't'), 'utf8')).toBe('there\n');
  const refused = await d.docker(['cp', path.join(here, 'f'), 'mounts:/vol/inner/g']);
  expect(refused.stderr).toContain('mounted volume is marked read-only');
  await d.must(['stop', '-t', '0', 'mounts']);
  fs.writeFileSync(path.join(here, 'g'), 'later');
  await d.must(['cp', path.join(here, 'g'), 'mounts:/vol/g']);
  await d.must(['cp', path.join(here, 'g'), 'mounts:/bind/g']);
  expect(fs.readFileSync(path.join(bind, 'g'), 'utf8')).toBe('later');
  expect(fs.readFileSync(path.join(d.dataRoot, 'volumes/kept/_data/g'), 'utf8')).toBe('later');
  expect((await d.docker(['cp', path.join(here, 'g'), 'mounts:/vol/inner/g'])).stderr).toContain('read-only');
  expect(await listOf((await get('/containers/mounts/archive?path=/vol')).body)).toContain('vol/inner/g');
  await d.must(['start', 'mounts']);
  expect(await sh('mounts', 'cat /vol/g')).toBe('later');
  await gone('mounts');
}, 60_000);

test('a read-only root refuses, its volumes do not', async () => {
  fs.writeFileSync(path.join(here, 'f'), 'x');
  await start('rofs', '--read-only', '-v', '/vol');
  await d.must(['create', '--name', 'rofs2', '--read-only', '-v', '/vol', ...none, IMG, 'sh']);
  for (const name of ['rofs', 'rofs2']) {
    await d.must(['cp', path.join(here, 'f'), `${name}:/vol/f`]);
    const r = await put(`/containers/${name}/archive?path=/root`, await tarOf(here, 'f'));
    expect(r.status).toBe(403);
    expect(r.text).toContain('container rootfs is marked read-only');
  }
  await gone('rofs', 'rofs2');
}, 60_000);

test('tars by stdin and stdout, compressed ones too; what cannot be read is refused by name', async () => {
  await start('tars');
  fs.writeFileSync(path.join(here, 'f'), 'piped');
  const plain = Buffer.from(await tarOf(here, 'f'));
  await d.must(['cp', '-', 'tars:/root'], { input: plain });
  expect(await sh('tars', 'cat /root/f')).toBe('piped');
  const out = await run('docker', ['-H', `unix://${d.socket}`, 'cp', 'tars:/root/f', '-']);
  expect(out.stdout).toContain('piped');
  for (const packed of [zlib.gzipSync(plain), zlib.zstdCompressSync(plain), storedXz(plain), bzip2Tar]) {
    await sh('tars', 'rm /root/f');
    expect((await put('/containers/tars/archive?path=/root', packed)).status).toBe(200);
    expect(await sh('tars', 'cat /root/f')).toBe('piped');
  }
  const cut = await put('/containers/tars/archive?path=/root', storedXz(plain).subarray(0, 700));
  expect(cut.status).toBe(500);
  expect(cut.text).toContain('xz: unexpected end of file');
  expect((await put('/containers/tars/archive?path=/root', Buffer.from('no tar at all'))).status).toBe(500);
  expect((await put('/containers/tars/archive?path=/root/f', plain)).status).toBe(400);
  expect((await put('/containers/tars/archive?path=/none', plain)).status).toBe(404);
  const both = await d.docker(['cp', 'tars:/root/f', 'tars:/root/g']);
  expect(both.stderr).toContain('copying between containers is not supported');
  await gone('tars');
}, 60_000);

test('noOverwriteDirNonDir refuses both ways, without it the archive wins; copyUIDGID is the container’s own user', async () => {
  await start('over', '-u', 'sailor');
  await d.must([
    'exec',
    '-u',
    '0',
    'over',
    'sh',
    '-c',
    'mkdir -p /root/x /root/link/keep; echo old > /root/y; ln -s /tmp /root/sym',
  ]);
  fs.writeFileSync(path.join(here, 'x'), 'file');
  fs.mkdirSync(path.join(here, 'y'));
  const file = await tarOf(here, 'x');
  const directory = await tarOf(here, 'y');
  const target = '/containers/over/archive?path=/root';
  const first = await put(`${target}&noOverwriteDirNonDir=1`, file);
  expect(first.status).toBe(400);
  expect(first.text).toContain('cannot overwrite directory');
  const second = await put(`${target}&noOverwriteDirNonDir=1`, directory);
  expect(second.status).toBe(400);
  expect(second.text).toContain('cannot overwrite non-directory');
  expect((await put(target, file)).status).toBe(200);
  expect((await put(target, directory)).status).toBe(200);
  expect(await d.must(['exec', '-u', '0', 'over', 'stat', '-c', '%F', '/root/x', '/root/y'])).toBe(
    'regular file\ndirectory',
  );
  expect((await put('/containers/over/archive?path=/tmp&copyUIDGID=1', file)).status).toBe(200);
  expect(await sh('over', 'stat -c "%u %g" /tmp/x')).toBe('1000 1000');
  await gone('over');
}, 60_000);

test('diff tells what was changed, added and deleted, and nothing of what the engine made', async () => {
  await d.must([
    ...['run', '--name', 'differs', ...none, IMG, 'sh', '-c'],
    'touch /a; mkdir -p /x/y; rm -r /var; chmod 700 /home; ln -s a /b; rm /etc/group; rm -r /usr; mkdir /usr; touch /usr/n',
  ]);
  const lines = (await d.must(['diff', 'differs'])).split('\n');
  expect(lines).toEqual([
    'A /a',
    'A /b',
    'C /etc',
    'D /etc/group',
    'C /home',
    'C /usr',
    'D /usr/bin',
    'A /usr/n',
    'D /var',
    'A /x',
    'A /x/y',
  ]);
  await start('same');
  expect(await d.must(['diff', 'same'])).toBe('');
  await sh('same', 'touch /tmp/new');
  expect(await d.must(['diff', 'same'])).toBe('C /tmp\nA /tmp/new');
  await gone('differs', 'same');
}, 60_000);

test('export has the root file system without what is mounted in it, running or not', async () => {
  await start('exported', '-v', '/vol', '--tmpfs', '/scratch');
  await sh('exported', 'echo v > /vol/hidden; echo s > /scratch/hidden; echo r > /root/seen');
  for (const state of ['running', 'stopped']) {
    if (state === 'stopped') await d.must(['stop', '-t', '0', 'exported']);
    const names = await listOf((await get('/containers/exported/export')).body);
    expect(names).toContain('root/seen');
    expect(names).toContain('vol/');
    expect(names.filter((name) => /hidden|^proc\/.|^sys\/.|^dev\/null/.test(name))).toEqual([]);
  }
  const file = path.join(here, 'out.tar');
  await d.must(['export', '-o', file, 'exported']);
  expect((await run('tar', ['tf', file])).stdout).toContain('root/seen');
  await gone('exported');
}, 60_000);

test('a container can be removed and started while files are copied', async () => {
  await d.must(['create', '--name', 'busy', ...none, '-v', '/vol', IMG, 'sleep', '1000']);
  let release: (() => void) | undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  fs.writeFileSync(path.join(here, 'f'), Buffer.alloc(100_000));
  const whole = Buffer.from(await tarOf(here, 'f'));
  const upload = fetch('http://berth/containers/busy/archive?path=/root', {
    unix: d.socket,
    method: 'PUT',
    body: new ReadableStream({
      async start(controller) {
        controller.enqueue(whole.subarray(0, 60_000));
        await held;
        controller.enqueue(whole.subarray(60_000));
        controller.close();
      },
    }),
  });
  const starting = d.must(['start', 'busy']);
  await Bun.sleep(300);
  release?.();
  expect((await upload).status).toBe(200);
  await starting;
  expect(await sh('busy', 'wc -c < /root/f')).toBe('100000');
  // One that never ends is broken off by the removal.
  const stuck = fetch('http://berth/containers/busy/archive?path=/root', {
    unix: d.socket,
    method: 'PUT',
    body: new ReadableStream({ start: (controller) => controller.enqueue(whole.subarray(0, 60_000)) }),
  });
  await Bun.sleep(200);
  await gone('busy');
  const answer = await stuck;
  expect(answer.status).toBe(409);
  expect(await answer.text()).toContain('broken off');
}, 60_000);

test('a client that goes away in the middle leaves what it wrote and nothing else', async () => {
  await start('left');
  await sh('left', 'dd if=/dev/zero of=/root/big bs=1M count=64 2>/dev/null');
  const abort = new AbortController();
  const download = await fetch('http://berth/containers/left/archive?path=/root/big', {
    unix: d.socket,
    signal: abort.signal,
  });
  const reader = download.body?.getReader();
  await reader?.read();
  abort.abort();
  // The container can go at once: nobody holds its files.
  await gone('left');
  expect(fs.readdirSync(`/proc/${d.pid}/fd`).length).toBeLessThan(100);
}, 60_000);

test('in a container with ids of its own, files come and go with the ids of inside, running and stopped', async () => {
  const created = await d.request('POST', '/containers/create?name=mapped', {
    Image: IMG,
    Cmd: ['sleep', '1000'],
    HostConfig: { NetworkMode: 'none', UsernsMode: 'auto', Binds: ['mapped-vol:/vol'] },
  });
  expect(created.status).toBe(201);
  await d.must(['start', 'mapped']);
  fs.mkdirSync(path.join(here, 'in/sub'), { recursive: true });
  fs.writeFileSync(path.join(here, 'in/sub/f'), 'x');
  fs.chownSync(path.join(here, 'in/sub/f'), 1000, 1001);
  const archive = await tarOf(here, 'in');
  const owners = async (target: string) => {
    const { body } = await get(`/containers/mapped/archive?path=${target}`);
    const listed = (await run('tar', ['tvnf', '-', '--numeric-owner'], { input: body })).stdout;
    return listed
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/)[1]);
  };
  for (const state of ['running', 'stopped']) {
    if (state === 'stopped') await d.must(['stop', '-t', '0', 'mapped']);
    for (const place of ['/root', '/vol']) {
      expect((await put(`/containers/mapped/archive?path=${place}`, archive)).status).toBe(200);
      expect(await owners(`${place}/in`)).toEqual(['0/0', '0/0', '1000/1001']);
    }
    if (state === 'stopped') await d.must(['start', 'mapped']);
    expect(await sh('mapped', 'stat -c "%u %g" /root/in /root/in/sub/f /vol/in/sub/f')).toBe(
      '0 0\n1000 1001\n1000 1001',
    );
  }
  await d.must(['commit', 'mapped', 'mapped:1']);
  expect(await d.must(['run', '--rm', ...none, 'mapped:1', 'stat', '-c', '%u %g', '/root/in/sub/f'])).toBe('1000 1001');
  await gone('mapped');
}, 60_000);

test('a full disk is told, and gives what was taken back when the container goes', async () => {
  const small = path.join(d.directory, 'small');
  fs.mkdirSync(small);
  expect((await run('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', small])).code).toBe(0);
  try {
    await start('full', '-v', `${small}:/small`);
    const big = path.join(here, 'big');
    fs.writeFileSync(big, Buffer.alloc(40_000_000));
    const r = await put('/containers/full/archive?path=/small', await tarOf(here, 'big'));
    expect(r.status).toBe(500);
    expect(r.text).toContain('no space left on device');
    // The daemon and the container go on.
    expect(await sh('full', 'rm /small/big; echo well > /small/f; cat /small/f')).toBe('well');
    await gone('full');
  } finally {
    await run('umount', [small]);
  }
}, 60_000);

test('what fails and what is left in the middle leaves no descriptor behind', async () => {
  await start('flat', '-v', '/vol');
  await d.must(['create', '--name', 'flat2', '-v', '/vol', ...none, IMG, 'sh']);
  fs.writeFileSync(path.join(here, 'f'), 'x');
  const good = await tarOf(here, 'f');
  const round = async (name: string): Promise<void> => {
    const target = `/containers/${name}/archive?path=`;
    await put(`${target}/vol`, good);
    await put(`${target}/none`, good);
    await put(`${target}/root`, Buffer.from('no tar'));
    await get(`${target}/none`);
    await get(`${target}/etc`);
    await get(`/containers/${name}/changes`);
    const abort = new AbortController();
    const r = await fetch(`http://berth/containers/${name}/export`, { unix: d.socket, signal: abort.signal });
    await r.body?.getReader().read();
    abort.abort();
    await d.request('POST', `/commit?container=${name}&changes=NONSENSE`);
  };
  // What is made once is made then.
  for (const name of ['flat', 'flat2']) await round(name);
  const open = () => fs.readdirSync(`/proc/${d.pid}/fd`).length;
  const before = open();
  for (let i = 0; i < 15; i++) for (const name of ['flat', 'flat2']) await round(name);
  await gone('flat', 'flat2');
  expect(open()).toBeLessThanOrEqual(before + 3);
}, 60_000);
