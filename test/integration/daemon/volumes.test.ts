/** Anonymous and named volumes: copy-up, who removes them and when, and what a restart makes of them. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { tar, writeArchive } from '../../support/base-images.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const VOLUMES = 'berth.test/volumes:1';
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
  // An image with a VOLUME that has content, an odd owner, a hard link, a symlink out and a device.
  const { path: archive } = writeArchive('volumes.tar', {
    reference: VOLUMES,
    layers: [
      tar([
        { name: 'bin/', type: '5', mode: 0o755 },
        { name: 'bin/busybox', type: '0', mode: 0o755, content: fs.readFileSync('/bin/busybox') },
        { name: 'bin/sh', type: '1', mode: 0o755, link: 'bin/busybox' },
        { name: 'data/', type: '5', mode: 0o750, uid: 1000, gid: 2000 },
        { name: 'data/file', type: '0', mode: 0o640, uid: 7, gid: 8, content: Buffer.from('from the image') },
        { name: 'data/twin', type: '1', mode: 0o640, uid: 7, gid: 8, link: 'data/file' },
        { name: 'data/out', type: '2', mode: 0o777, link: '/etc/passwd' },
        { name: 'data/sub/', type: '5', mode: 0o2755 },
        { name: 'data/sub/deep', type: '0', mode: 0o4755, content: Buffer.from('deep') },
        { name: 'outside', type: '2', mode: 0o777, link: '/../../../../etc' },
      ]),
    ],
    config: { Volumes: { '/data': {}, '/fresh': {} } },
  });
  await d.must(['load', '-q', '-i', archive]);
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const volumes = async () => (await d.must(['volume', 'ls', '-q'])).split('\n').filter((name) => name !== '');
const directories = () => fs.readdirSync(path.join(d.dataRoot, 'volumes'));
const none = ['--network', 'none'];

test('the VOLUME of an image starts with what the image has there', async () => {
  await d.must(['create', '--name', 'filled', ...none, VOLUMES, 'sh']);
  const mounts: unknown = JSON.parse(await d.must(['inspect', '-f', '{{json .Mounts}}', 'filled']));
  const [data, fresh] = (mounts as { Source: string; Destination: string }[]).sort((a, b) =>
    a.Destination < b.Destination ? -1 : 1,
  );
  const source = data?.Source ?? '';
  expect(source).toBe(path.join(d.dataRoot, 'volumes', path.basename(path.dirname(source)), '_data'));
  const root = fs.statSync(source);
  expect([root.mode & 0o7777, root.uid, root.gid]).toEqual([0o750, 1000, 2000]);
  const file = fs.statSync(path.join(source, 'file'));
  expect([file.mode & 0o7777, file.uid, file.gid, file.nlink]).toEqual([0o640, 7, 8, 2]);
  expect(fs.statSync(path.join(source, 'twin')).ino).toBe(file.ino);
  expect(fs.readlinkSync(path.join(source, 'out'))).toBe('/etc/passwd');
  expect(fs.statSync(path.join(source, 'sub/deep')).mode & 0o7777).toBe(0o4755);
  expect(fs.readdirSync(fresh?.Source ?? '')).toEqual([]);
  await d.must(['rm', '-v', 'filled']);
  expect(directories()).toEqual([]);
}, 60_000);

test('an anonymous volume goes with rm -v and --rm, and stays with rm', async () => {
  await d.must(['run', '--name', 'kept', ...none, '-v', '/v', IMG, 'sh', '-c', 'echo x > /v/x']);
  const [name = ''] = await volumes();
  expect(name).toMatch(/^[0-9a-f]{64}$/);
  await d.must(['rm', 'kept']);
  expect(await volumes()).toEqual([name]);
  expect(fs.readFileSync(path.join(d.dataRoot, 'volumes', name, '_data/x'), 'utf8')).toBe('x\n');
  await d.must(['run', '--rm', ...none, '-v', '/v', IMG, 'true']);
  await d.must(['run', '-d', '--name', 'gone', ...none, '-v', '/v', IMG, 'sleep', '100']);
  await d.must(['rm', '-f', '-v', 'gone']);
  expect(await volumes()).toEqual([name]);
}, 60_000);

test('a named volume keeps its content between containers and survives the daemon', async () => {
  await d.must(['run', '--rm', ...none, '-v', 'named:/v', IMG, 'sh', '-c', 'echo kept > /v/x']);
  await d.restart();
  expect(await d.must(['run', '--rm', ...none, '-v', 'named:/v:ro', IMG, 'cat', '/v/x'])).toBe('kept');
  expect(await volumes()).toContain('named');
  const readOnly = await d.docker(['run', '--rm', ...none, '-v', 'named:/v:ro', IMG, 'touch', '/v/y']);
  expect(readOnly.code).toBe(1);
  await d.must(['create', '--name', 'holder', ...none, '-v', 'named:/v', IMG, 'true']);
  const used = await d.docker(['volume', 'rm', 'named']);
  expect(used.stderr).toContain('remove named: volume is in use - [');
  await d.must(['rm', '-v', 'holder']);
  expect(await volumes()).toContain('named');
  await d.must(['volume', 'rm', 'named']);
  expect(await volumes()).not.toContain('named');
  expect((await d.docker(['volume', 'rm', 'named'])).stderr).toContain('get named: no such volume');
}, 60_000);

test('a directory of volumes without a record is set aside, not deleted', async () => {
  const stray = path.join(d.dataRoot, 'volumes', 'stray');
  fs.mkdirSync(path.join(stray, '_data'), { recursive: true });
  fs.writeFileSync(path.join(stray, '_data/precious'), 'x');
  await d.restart();
  expect(fs.existsSync(stray)).toBe(false);
  const [moved = ''] = fs.readdirSync(path.join(d.dataRoot, 'lost+found')).filter((n) => n.startsWith('volume-stray'));
  expect(fs.readFileSync(path.join(d.dataRoot, 'lost+found', moved, '_data/precious'), 'utf8')).toBe('x');
}, 60_000);

test('a volume whose place is a symlink out of the image copies nothing of the host', async () => {
  await d.must(['create', '--name', 'out', ...none, '-v', '/outside', VOLUMES, 'sh']);
  const source = await d.must([
    'inspect',
    '-f',
    '{{range .Mounts}}{{if eq .Destination "/outside"}}{{.Source}}{{end}}{{end}}',
    'out',
  ]);
  expect(fs.readdirSync(source)).not.toContain('passwd');
  await d.must(['rm', '-v', 'out']);
}, 60_000);
