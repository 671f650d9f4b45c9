/** `docker commit`: the layer, the configuration, the history, events, and what is left when it breaks off. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const none = ['--network', 'none'];

interface Inspected {
  readonly Id: string;
  readonly Parent: string;
  readonly Author: string;
  readonly Comment: string;
  readonly Config: Record<string, unknown>;
  readonly RootFS: { readonly Layers: readonly string[] };
}

async function inspect(image: string): Promise<Inspected> {
  const [found] = JSON.parse(await d.must(['image', 'inspect', image])) as Inspected[];
  if (found === undefined) throw new Error(`no ${image}`);
  return found;
}

test('commit makes an image whose layer has what changed and nothing that the engine made', async () => {
  await d.must([
    ...['run', '-d', '--name', 'work', '-e', 'KEEP=1', '-w', '/tmp', '-v', '/vol', ...none, IMG, 'sh', '-c'],
    'mkdir -p /new/dir; echo deep > /new/dir/f; ln /new/dir/f /new/twin; rm /etc/group; rm -r /usr; mkdir /usr; ' +
      'echo x > /vol/hidden; mknod /new/null c 1 3; chown 7:8 /new/dir; chmod 4711 /new/twin; mkfifo /new/fifo; sleep 1000',
  ]);
  await d.must(['exec', 'work', 'sh', '-c', 'until [ -e /new/fifo ]; do sleep 0.05; done']);
  const since = new Date(Date.now() - 2000).toISOString();
  const id = await d.must(['commit', '-a', 'me', '-m', 'words', 'work', 'made/it:1']);
  const image = await inspect('made/it:1');
  const base = await inspect(IMG);
  expect(image).toMatchObject({ Id: id, Parent: base.Id, Author: 'me', Comment: 'words' });
  expect(image.Config).toMatchObject({ WorkingDir: '/tmp', Env: expect.arrayContaining(['KEEP=1']) as unknown });
  expect(image.RootFS.Layers.slice(0, -1)).toEqual([...base.RootFS.Layers]);
  // The container goes on.
  expect(await d.must(['exec', 'work', 'cat', '/new/dir/f'])).toBe('deep');
  const list = 'ls /usr /etc; stat -c "%n %u %g %a %h %F" /new/dir /new/twin /new/fifo; test -e /vol/hidden || echo no';
  const seen = await d.must(['run', '--rm', ...none, 'made/it:1', 'sh', '-c', list]);
  expect(seen.split('\n').filter((line) => !/^(hosts|hostname|resolv.conf|mtab)$/.test(line))).toEqual([
    ...['/etc:', 'passwd', '', '/usr:'],
    ...['/new/dir 7 8 755 2 directory', '/new/twin 0 0 4711 2 regular file', '/new/fifo 0 0 644 1 fifo', 'no'],
  ]);
  // The layer is its tar, to the byte, and has nothing of ours.
  const save = path.join(d.directory, 'saved');
  fs.mkdirSync(save);
  await d.must(['save', '-o', path.join(save, 'image.tar'), 'made/it:1']);
  await run('tar', ['xf', path.join(save, 'image.tar'), '-C', save]);
  const top = image.RootFS.Layers.at(-1) ?? '';
  const blob = path.join(save, 'blobs/sha256', top.slice(7));
  expect(`sha256:${createHash('sha256').update(fs.readFileSync(blob)).digest('hex')}`).toBe(top);
  const names = (await run('tar', ['tf', blob])).stdout.trim().split('\n');
  for (const name of ['etc/.wh.group', 'new/dir/f', 'usr/.wh..wh..opq', 'vol/']) expect(names).toContain(name);
  expect(names.filter((name) => /hosts|resolv|hidden|^dev|^proc|^sys/.test(name))).toEqual([]);
  const events = await d.must([
    ...['events', '--since', since, '--until', new Date(Date.now() + 1000).toISOString(), '--format'],
    '{{.Type}} {{.Action}} {{index .Actor.Attributes "imageRef"}}{{index .Actor.Attributes "comment"}}',
  ]);
  expect(events).toContain('container commit made/it:1words');
  expect(events).toContain('image tag');
  // Out and in again it is the same.
  await d.must(['rmi', '-f', 'made/it:1']);
  await d.must(['load', '-q', '-i', path.join(save, 'image.tar')]);
  expect((await inspect('made/it:1')).Id).toBe(id);
  await d.must(['rm', '-f', '-v', 'work']);
}, 60_000);

test('changes, the body’s configuration and the container’s are merged as dockerd merges them', async () => {
  await d.must([
    'create',
    '--name',
    'conf',
    '-e',
    'A=1',
    '-e',
    'B=2',
    '-l',
    'x=1',
    '-u',
    'sailor',
    ...none,
    IMG,
    'sh',
    '-c',
    'exit 3',
  ]);
  const changes = [
    [
      'CMD ["a","b"]',
      'ENV A=9 C="x y"',
      'EXPOSE 80 53/udp',
      'LABEL y="2 3"',
      'USER root',
      'VOLUME ["/v"]',
      'WORKDIR /w',
    ],
    ['HEALTHCHECK --interval=5s CMD true', 'ONBUILD RUN x', 'STOPSIGNAL SIGINT'],
  ].flat();
  await d.must(['commit', ...changes.flatMap((change) => ['-c', change]), 'conf', 'conf:1']);
  expect((await inspect('conf:1')).Config).toMatchObject({
    Cmd: ['a', 'b'],
    Env: expect.arrayContaining(['A=9', 'B=2', 'C=x y']) as unknown,
    ExposedPorts: { '80/tcp': {}, '53/udp': {} },
    Labels: { x: '1', y: '2 3' },
    User: 'root',
    Volumes: { '/v': {} },
    WorkingDir: '/w',
    Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 5_000_000_000 },
    OnBuild: ['RUN x'],
    StopSignal: 'SIGINT',
  });
  await d.must(['commit', '-c', 'ENTRYPOINT ["e"]', 'conf', 'conf:2']);
  expect((await inspect('conf:2')).Config).toMatchObject({ Entrypoint: ['e'], Cmd: null });
  const r = await d.request('POST', '/commit?container=conf&repo=conf&tag=3', { Cmd: ['other'], Labels: { x: '7' } });
  expect(r.status).toBe(201);
  expect((await inspect('conf:3')).Config).toMatchObject({ Cmd: ['other'], Labels: { x: '7' }, User: 'sailor' });
  // Nothing changed: no layer.
  expect((await inspect('conf:3')).RootFS.Layers).toEqual((await inspect(IMG)).RootFS.Layers);
  expect(await d.must(['history', '--format', '{{.Size}} {{.CreatedBy}}', 'conf:3'])).toStartWith('0B sh -c exit 3');
  const bad = await d.docker(['commit', '-c', 'RUN x', 'conf']);
  expect(bad.stderr).toContain('RUN is not a valid change command');
  expect((await d.docker(['commit', 'conf', 'BAD'])).stderr).toContain('must be lowercase');
  expect((await d.request('POST', '/commit?container=nope')).status).toBe(404);
  await d.must(['rm', '-f', 'conf']);
}, 60_000);

test('the container stands still while its files are read, unless it shall not, and goes on afterwards', async () => {
  const writer = 'while :; do n=$((n+1)); echo $n > /t; mv /t /a; echo $n > /t; mv /t /b; done';
  await d.must(['run', '-d', '--name', 'writes', ...none, IMG, 'sh', '-c', writer]);
  await d.must(['exec', 'writes', 'sh', '-c', 'until [ -s /b ]; do sleep 0.05; done']);
  await d.must(['commit', 'writes', 'writes:1']);
  const [a, b] = (await d.must(['run', '--rm', ...none, 'writes:1', 'cat', '/a', '/b'])).split('\n').map(Number);
  // Between the two writes at most.
  expect([0, 1]).toContain((a ?? 0) - (b ?? 0));
  await d.must(['commit', '--pause=false', 'writes', 'writes:2']);
  const first = await d.must(['exec', 'writes', 'cat', '/a']);
  await d.must(['exec', 'writes', 'sh', '-c', `until [ "$(cat /a)" != "${first}" ]; do sleep 0.05; done`]);
  // One that is paused already stays so.
  await d.must(['pause', 'writes']);
  await d.must(['commit', 'writes', 'writes:3']);
  expect(await d.must(['inspect', '-f', '{{.State.Status}}', 'writes'])).toBe('paused');
  await d.must(['unpause', 'writes']);
  await d.must(['rm', '-f', 'writes']);
}, 60_000);

for (const point of [
  'commit.frozen',
  'commit.captured',
  'load.blob-written',
  'load.layer-recorded',
  'load.image-recorded',
]) {
  test(`kill -9 at ${point}: no half image, the container goes on`, async () => {
    await d.must([
      'run',
      '-d',
      '--name',
      'crash',
      ...none,
      IMG,
      'sh',
      '-c',
      'echo x > /new; while :; do sleep 0.1; done',
    ]);
    await d.must(['exec', 'crash', 'sh', '-c', 'until [ -e /new ]; do sleep 0.05; done']);
    await d.restart('SIGKILL', { BERTH_FAILPOINTS: `${point}=kill` });
    const r = await d.docker(['commit', 'crash', `crash:${point.replaceAll('.', '-')}`]);
    expect(r.code).not.toBe(0);
    await d.launch();
    await d.must(['exec', 'crash', 'cat', '/new']);
    const images = (await d.must(['images', '-q', 'crash'])).split('\n').filter((line) => line !== '');
    expect(images.length).toBe(point === 'load.image-recorded' ? 1 : 0);
    if (images.length > 0) await d.must(['rmi', '-f', ...images]);
    expect(fs.readdirSync(path.join(d.dataRoot, 'content/ingest'))).toEqual([]);
    expect(fs.readdirSync(path.join(d.dataRoot, 'overlay')).filter((name) => name.startsWith('tmp-'))).toEqual([]);
    await d.must(['commit', 'crash', 'crash:again']);
    await d.must(['rm', '-f', 'crash']);
    await d.must(['rmi', '-f', 'crash:again']);
  }, 60_000);
}

test('with vfs, where a layer has all files, commit finds what differs', async () => {
  await using v = await TestDaemon.start({ noBridge: true, args: ['--storage-driver', 'vfs'] });
  const script =
    'mkdir -p /new/dir; echo deep > /new/dir/f; rm /etc/group; rm -r /usr; chmod 700 /home; echo x >> /etc/passwd';
  await v.must(['run', '--name', 'work', ...none, IMG, 'sh', '-c', script]);
  await v.must(['commit', 'work', 'vfs:1']);
  const list =
    'cat /new/dir/f; test -e /etc/group || echo gone; test -e /usr || echo gone; stat -c %a /home; tail -n 1 /etc/passwd';
  expect(await v.must(['run', '--rm', ...none, 'vfs:1', 'sh', '-c', list])).toBe('deep\ngone\ngone\n700\nx');
  const [image] = JSON.parse(await v.must(['image', 'inspect', 'vfs:1'])) as Inspected[];
  const file = path.join(v.directory, 'vfs.tar');
  await v.must(['save', '-o', file, 'vfs:1']);
  await run('tar', ['xf', file, '-C', v.directory]);
  const top = image?.RootFS.Layers.at(-1) ?? '';
  const names = (await run('tar', ['tf', path.join(v.directory, 'blobs/sha256', top.slice(7))])).stdout
    .trim()
    .split('\n');
  // Only what differs, and nothing of ours.
  expect(names.sort()).toEqual([
    '.wh.usr',
    'etc/',
    'etc/.wh.group',
    'etc/passwd',
    'home/',
    'new/',
    'new/dir/',
    'new/dir/f',
  ]);
  await v.must(['rm', 'work']);
}, 60_000);

test('a commit that the disk has no room for leaves nothing, and the container goes on', async () => {
  const small = fs.mkdtempSync('/tmp/berth-commit-');
  expect((await run('mount', ['-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', small])).code).toBe(0);
  try {
    await using v = await TestDaemon.start({ noBridge: true, dataRoot: path.join(small, 'data') });
    await v.must(['run', '-d', '--name', 'work', ...none, IMG, 'sleep', '1000']);
    await v.must(['exec', 'work', 'dd', 'if=/dev/urandom', 'of=/big', 'bs=1M', 'count=14']);
    const r = await v.docker(['commit', 'work', 'none:1']);
    expect(r.code).toBe(1);
    expect(r.stderr).toMatch(/no space left|ENOSPC/);
    expect(await v.must(['images', '-q', 'none'])).toBe('');
    expect(fs.readdirSync(path.join(v.dataRoot, 'content/ingest'))).toEqual([]);
    expect(fs.readdirSync(path.join(v.dataRoot, 'overlay')).filter((name) => name.startsWith('tmp-'))).toEqual([]);
    await v.must(['exec', 'work', 'rm', '/big']);
    await v.must(['exec', 'work', 'sh', '-c', 'echo small > /f']);
    await v.must(['commit', 'work', 'some:1']);
    await v.must(['rm', '-f', 'work']);
  } finally {
    await run('umount', ['-l', small]);
    fs.rmdirSync(small);
  }
}, 60_000);
