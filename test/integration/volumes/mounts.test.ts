/** What containers mount: every type of --mount and -v, subpaths, images, mounts of other containers, nested ones. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
// as: it stands for a text.
const containing = (text: string) => expect.stringContaining(text) as string;
let d: TestDaemon;
let host: string;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
  host = path.join(d.directory, 'host');
  fs.mkdirSync(path.join(host, 'below'), { recursive: true });
  fs.writeFileSync(path.join(host, 'file'), 'of the host');
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const once = (...args: string[]) => d.docker(['run', '--rm', ...none, ...args]);
const output = async (...args: string[]) => d.must(['run', '--rm', ...none, ...args]);
const mountsOf = async (name: string) => {
  const list = JSON.parse(await d.must(['inspect', '-f', '{{json .Mounts}}', name])) as Record<string, unknown>[];
  return list.sort((a, b) => (String(a['Destination']) < String(b['Destination']) ? -1 : 1));
};

test('Mounts of inspect are exact, and volumes-from takes them over', async () => {
  await d.must([
    ...['create', '--name', 'first', ...none, '-v', 'v1:/a', '-v', 'v2:/b:ro', '-v', `${host}:/c`, '-v', '/d'],
    ...['--mount', 'type=volume,src=v3,dst=/e,readonly', '--mount', 'type=tmpfs,dst=/f,tmpfs-size=1m'],
    ...['--mount', `type=bind,src=${host},dst=/g,bind-propagation=rslave`, '--tmpfs', '/h', IMG, 'true'],
  ]);
  const data = (name: string) => path.join(d.dataRoot, 'volumes', name, '_data');
  const volume = (name: string, Destination: string, Mode: string, RW: boolean) => ({
    ...{ Type: 'volume', Name: name, Source: data(name), Destination, Driver: 'local', Mode, RW, Propagation: '' },
  });
  const bind = (Destination: string, Propagation: string) => ({
    ...{ Type: 'bind', Source: host, Destination, Mode: '', RW: true, Propagation },
  });
  const first = await mountsOf('first');
  const anonymous = String(first[3]?.['Name']);
  const expected = [
    volume('v1', '/a', 'z', true),
    volume('v2', '/b', 'ro', false),
    bind('/c', 'rprivate'),
    volume(anonymous, '/d', '', true),
    volume('v3', '/e', 'z', false),
    { Type: 'tmpfs', Source: '', Destination: '/f', Mode: '', RW: true, Propagation: '' },
    bind('/g', 'rslave'),
  ];
  expect(first).toEqual(expected);

  await d.must(['create', '--name', 'second', ...none, '--volumes-from', 'first', IMG, 'true']);
  // A mode is what a mount of its own was asked for with.
  expect(await mountsOf('second')).toEqual(expected.map((mount) => ({ ...mount, Mode: '' })));
  // Read-only, in a chain, beside a mount of its own that goes before.
  await d.must(['create', '--name', 'third', ...none, '--volumes-from', 'second:ro', '-v', 'own:/a', IMG, 'true']);
  const third = await mountsOf('third');
  expect(third[0]).toEqual(volume('own', '/a', 'z', true));
  expect(third.slice(1).map((mount) => mount['RW'])).toEqual([false, false, false, false, false, false]);

  // The source may be gone: what it shared stays as long as somebody has it.
  await d.must(['rm', '-v', 'first']);
  expect((await d.must(['volume', 'ls', '-q'])).split('\n')).toContain(anonymous);
  await d.must(['start', '-a', 'third']);
  expect((await d.docker(['volume', 'rm', 'v1'])).stderr).toContain('volume is in use');
  await d.must(['rm', '-v', 'second', 'third']);
  expect((await d.must(['volume', 'ls', '-q'])).split('\n').sort()).toEqual(['own', 'v1', 'v2', 'v3']);
  await d.must(['volume', 'prune', '-a', '-f']);

  for (const [from, message] of [
    ['nosuch', 'No such container: nosuch'],
    ['first:zz', 'invalid mode: zz'],
  ] as const) {
    const refused = await d.docker(['create', ...none, '--pull', 'never', '--volumes-from', from, IMG, 'true']);
    expect([refused.code, refused.stderr]).toEqual([1, containing(message)]);
  }
}, 60_000);

test('-v makes a missing source at the start, --mount refuses it', async () => {
  const missing = path.join(d.directory, 'made/for/you');
  await d.must(['create', '--name', 'maker', ...none, '-v', `${missing}:/x`, IMG, 'true']);
  expect(fs.existsSync(missing)).toBe(false);
  await d.must(['start', '-a', 'maker']);
  expect(fs.statSync(missing).isDirectory()).toBe(true);
  await d.must(['rm', 'maker']);
  const refused = await once('--mount', `type=bind,src=${missing}/no,dst=/x`, IMG, 'true');
  expect(refused.stderr).toContain(
    `invalid mount config for type "bind": bind source path does not exist: ${missing}/no`,
  );
}, 60_000);

test('a read-only bind is read-only below too, unless it is said otherwise', async () => {
  const below = path.join(host, 'below');
  await run('mount', ['-t', 'tmpfs', 'tmpfs', below]);
  try {
    const writes = async (...options: string[]) => {
      const mount = ['type=bind', `src=${host}`, 'dst=/x', ...options].join(',');
      return (await once('--mount', mount, IMG, 'sh', '-c', 'touch /x/t 2>/dev/null; touch /x/below/t')).code === 0;
    };
    expect(await writes()).toBe(true);
    expect(await writes('readonly')).toBe(false);
    expect(await writes('readonly', 'bind-recursive=writable')).toBe(true);
    expect(await writes('readonly', 'bind-recursive=readonly', 'bind-propagation=rprivate')).toBe(false);
    expect((await once('-v', `${host}:/x:ro`, IMG, 'touch', '/x/below/t')).code).toBe(1);
    const flat = ['--mount', `type=bind,src=${host},dst=/x,bind-recursive=disabled`, IMG];
    fs.writeFileSync(path.join(below, 'only-below'), '');
    expect(await output(...flat, 'ls', '/x/below')).toBe('');
    expect(await output('-v', `${host}:/x:z`, IMG, 'ls', '/x/below')).toContain('only-below');
  } finally {
    await run('umount', [below]);
  }
  const conflict = await d.request('POST', '/v1.47/containers/create', {
    Image: IMG,
    HostConfig: {
      Mounts: [{ Type: 'bind', Source: host, Target: '/x', BindOptions: { ReadOnlyForceRecursive: true } }],
    },
  });
  expect(conflict.body).toEqual({
    message:
      'invalid mount config for type "bind": mount options conflict: !ReadOnly && BindOptions.ReadOnlyForceRecursive',
  });
}, 60_000);

test('volumes: driver options and labels of --mount, nocopy, subpath', async () => {
  const options = 'volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-label=x=y';
  expect(
    await output('--mount', `src=fresh,dst=/y,${options}`, IMG, 'sh', '-c', 'mount | grep -c "on /y type tmpfs"'),
  ).toBe('1');
  const [fresh] = JSON.parse(await d.must(['volume', 'inspect', 'fresh'])) as { Labels: unknown; Options: unknown }[];
  expect([fresh?.Labels, fresh?.Options]).toEqual([{ x: 'y' }, { type: 'tmpfs', device: 'tmpfs' }]);

  await output('-v', 'sub:/v', IMG, 'sh', '-c', 'mkdir -p /v/a/b; echo deep > /v/a/b/f; ln -s / /v/out; ln -s a /v/in');
  const subpath = (text: string, more = '') => ['--mount', `src=sub,dst=/s${more},volume-subpath=${text}`, IMG];
  expect(await output(...subpath('a/b'), 'cat', '/s/f')).toBe('deep');
  expect(await output(...subpath('in/b'), 'cat', '/s/f')).toBe('deep');
  expect(await output(...subpath('a/b/f', 'ingle'), 'cat', '/single')).toBe('deep');
  // A link out of the volume leads to the volume's own root.
  expect(await output(...subpath('out'), 'ls', '/s')).toBe('a\nin\nout');
  expect((await once(...subpath('a', ',readonly'), 'touch', '/s/x')).code).toBe(1);
  const missing = await once(...subpath('no/such'), 'true');
  expect(missing.stderr).toContain(
    `cannot access path ${d.dataRoot}/volumes/sub/_data/no/such: no such file or directory`,
  );
  for (const bad of ['../x', '/a']) {
    expect((await once(...subpath(bad), 'true')).stderr).toContain('subpath must be a relative path within the volume');
  }
  expect((await once('--mount', 'dst=/s,volume-subpath=a', IMG, 'true')).stderr).toContain(
    'must not set Subpath when using anonymous volumes',
  );

  expect(await output('--mount', 'src=empty,dst=/bin2,volume-nocopy', IMG, 'ls', '/bin2')).toBe('');
  expect(await output('-v', 'filled:/etc', IMG, 'ls', '/etc')).toContain('passwd');
  expect(await output('-v', 'unfilled:/etc:nocopy', IMG, 'ls', '/etc')).not.toContain('passwd');
  await d.must(['volume', 'prune', '-a', '-f']);
  await d.must(['volume', 'rm', 'fresh']);
}, 60_000);

test('tmpfs: size and mode', async () => {
  const shown = await output(
    '--mount',
    'type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=1700',
    IMG,
    'sh',
    '-c',
    'stat -c %a /t; mount | grep " /t "',
  );
  expect(shown).toContain('1700');
  expect(shown).toContain('size=2048k');
}, 60_000);

test('an image can be mounted, whole or in part, and is not deleted meanwhile', async () => {
  await d.must(['tag', IMG, 'berth.test/other:1']);
  const mount = (more: string) => ['--mount', `type=image,src=berth.test/other:1,dst=/i${more}`, IMG];
  expect(await output(...mount(''), 'ls', '/i/bin/busybox')).toBe('/i/bin/busybox');
  expect(await output(...mount('mage,image-subpath=bin'), 'ls', '/image/busybox')).toBe('/image/busybox');
  expect((await once(...mount(''), 'touch', '/i/x')).stderr).toContain('Read-only file system');
  expect((await once(...mount(',image-subpath=nosuch'), 'true')).stderr).toContain('no such file or directory');
  const missing = await once('--pull', 'never', '--mount', 'type=image,src=nosuch:1,dst=/i', IMG, 'true');
  expect(missing.stderr).toContain('invalid mount config for type "image": No such image: nosuch:1');
  await d.must(['create', '--name', 'imaged', ...none, ...mount(''), 'true']);
  const id = await d.must(['image', 'inspect', '-f', '{{.Id}}', IMG]);
  expect(await mountsOf('imaged')).toEqual([
    { Type: 'image', Name: id, Source: 'berth.test/other:1', Destination: '/i', Mode: '', RW: false, Propagation: '' },
  ]);
  await d.must(['rm', 'imaged']);
  await d.must(['rmi', 'berth.test/other:1']);
  expect(fs.readdirSync(path.join(d.execRoot, 'mounts'))).toEqual([]);
}, 60_000);

test('with ids of its own a container sees a volume, a part of it, a tmpfs and an image as any other', async () => {
  const own = (...args: string[]) => output('--security-opt', 'userns=auto', ...args);
  await output('-v', 'ids:/v', IMG, 'sh', '-c', 'mkdir /v/a; touch /v/a/f; chown 5:6 /v/a/f');
  const look = 'touch /s/new && stat -c "%u %g" /s/f /s/new && rm /s/new';
  expect(await own('--mount', 'src=ids,dst=/s,volume-subpath=a', IMG, 'sh', '-c', look)).toBe('5 6\n0 0');
  expect(await own('-v', 'ids:/v', IMG, 'stat', '-c', '%u %g', '/v/a/f')).toBe('5 6');
  const memory = 'src=memory,dst=/s,volume-opt=type=tmpfs,volume-opt=device=tmpfs';
  const alike = [
    '--security-opt',
    'userns=auto',
    '--mount',
    memory,
    IMG,
    'sh',
    '-c',
    'touch /s/x; stat -c "%u %g" /s /s/x',
  ];
  const onTmpfs = await once(...alike);
  // Id-mapped mounts of tmpfs came with Linux 6.3.
  const [major = 0, minor = 0] = os.release().split('.').map(Number);
  if (major > 6 || (major === 6 && minor >= 3)) expect(onTmpfs.stdout).toBe('0 0\n0 0\n');
  else expect(onTmpfs.stderr).toContain('its file system or this kernel has no id-mapped mounts');
  const image = ['--mount', `type=image,src=${IMG},dst=/i,image-subpath=bin`, IMG];
  expect(await own(...image, 'stat', '-c', '%u %g', '/i/busybox')).toBe('0 0');
  await d.must(['volume', 'rm', 'ids', 'memory']);
}, 60_000);

test('nested mounts come parents first, however they are named', async () => {
  const args = ['-v', 'inner:/top/in/deep', '-v', `${host}:/top`, '--tmpfs', '/top/in', IMG];
  const shown = await output(...args, 'sh', '-c', 'cat /top/file; mount | grep -o " /top[^ ]*"');
  expect(shown).toBe('of the host /top\n /top/in\n /top/in/deep');
  await d.must(['volume', 'rm', 'inner']);
}, 60_000);

test('what cannot be is refused by name', async () => {
  const refusals: [string[], string][] = [
    [['--mount', 'type=npipe,src=x,dst=/y'], 'invalid mount config for type "npipe": mount type unknown'],
    [['--mount', 'type=cluster,src=x,dst=/y'], 'mount type "cluster" is not supported'],
    [['--mount', `type=bind,src=${host},dst=/y,bind-propagation=bad`], 'invalid propagation mode: bad'],
    [['-v', 'v1:/y:rshared'], "invalid volume specification: 'v1:/y:rshared'"],
    [['-v', 'v1:/y', '-v', 'v2:/y'], 'Duplicate mount point: /y'],
    [['-v', 'v1:/y', '--tmpfs', '/y'], 'Duplicate mount point: /y'],
    [
      ['--volume-driver', 'nosuch', '-v', 'newv:/y'],
      'error looking up volume plugin nosuch: plugin "nosuch" not found',
    ],
  ];
  for (const [args, message] of refusals) {
    const r = await once('--pull', 'never', ...args, IMG, 'true');
    expect([r.code, r.stderr]).toEqual([125, containing(message)]);
  }
  expect(await d.must(['volume', 'ls', '-q'])).toBe('');
}, 60_000);
