import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import type { Mount } from '#libcontainer/spec.ts';
import { Bench, messageOf } from './bench.ts';

let bench: Bench;
let volume: string;
beforeAll(() => {
  bench = new Bench();
});
afterAll(() => bench[Symbol.asyncDispose]());
beforeEach(() => {
  volume = bench.at('volume');
  fs.rmSync(volume, { recursive: true, force: true });
  fs.mkdirSync(`${volume}/sub`, { recursive: true });
  fs.writeFileSync(`${volume}/file`, 'content\n');
});

const bind = (source: string, destination: string, ...options: string[]): Mount => ({
  type: 'bind',
  source,
  destination,
  options: ['rbind', 'rprivate', ...options],
});

describe('mounts', () => {
  test('a volume is read and written', async () => {
    const lines = await bench.lines('cat /v/file; echo new > /v/made', { mounts: [bind(volume, '/v')] });
    expect(lines).toEqual(['content']);
    expect(fs.readFileSync(`${volume}/made`, 'utf8')).toBe('new\n');
  });

  test('a read-only volume refuses, with all that lies below', async () => {
    const mounts = [bind(volume, '/v'), { destination: '/v/sub', type: 'tmpfs', options: ['ro'] }];
    const lines = await bench.lines('touch /v/sub/x 2>&1', { mounts });
    expect(lines[0]).toContain('Read-only file system');
    const whole = await bench.lines('touch /v/x 2>&1', { mounts: [bind(volume, '/v', 'ro', 'rro')] });
    expect(whole[0]).toContain('Read-only file system');
  });

  test('an id-mapped bind has the ids of its maps, or those of the container', async () => {
    fs.chownSync(`${volume}/file`, 1000, 1001);
    const maps = [{ containerID: 1000, hostID: 5, size: 2 }];
    const mapped = { ...bind(volume, '/v'), uidMappings: maps, gidMappings: maps };
    expect(await bench.lines('stat -c %u:%g /v/file /v', { mounts: [mapped] })).toEqual(['5:6', '65534:65534']);
    const own = [{ containerID: 0, hostID: 300_000, size: 65_536 }];
    const linux = {
      uidMappings: own,
      gidMappings: own,
      namespaces: (['mount', 'pid', 'network', 'ipc', 'uts', 'user'] as const).map((type) => ({ type })),
    };
    for (const option of ['idmap', 'ridmap']) {
      const mounts = [bind(volume, '/v', option)];
      expect(await bench.lines('stat -c %u:%g /v/file /v', { mounts, linux })).toEqual(['1000:1001', '0:0']);
    }
    const without = bench.lines('true', { mounts: [bind(volume, '/v', 'idmap')] });
    expect(await messageOf(without)).toContain('needs uidMappings and gidMappings, or a user namespace');
    const tmpfs = bench.lines('true', { mounts: [{ destination: '/t', type: 'tmpfs', options: ['idmap'] }], linux });
    expect(await messageOf(tmpfs)).toContain('Only bind mounts can be id-mapped, not "/t"');
  });

  test('a file goes onto a file, made when missing', async () => {
    const mounts = [bind(`${volume}/file`, '/etc/hosts'), bind(`${volume}/file`, '/deep/down/file')];
    expect(await bench.lines('cat /etc/hosts /deep/down/file', { mounts })).toEqual(['content', 'content']);
  });

  test('mounts in mounts, in the order given', async () => {
    const mounts: Mount[] = [
      { destination: '/t', type: 'tmpfs', options: ['mode=700', 'size=1m'] },
      bind(volume, '/t/a/b'),
      { destination: '/t/a/b/sub', type: 'tmpfs', options: [] },
      bind(`${volume}/file`, '/t/a/b/sub/f'),
    ];
    const lines = await bench.lines('stat -c %a /t; cat /t/a/b/file /t/a/b/sub/f; ls /t/a/b/sub', { mounts });
    expect(lines).toEqual(['700', 'content', 'content', 'f']);
    expect(fs.readdirSync(`${volume}/sub`)).toEqual([]);
  });

  test('a mount behind a symlink of the image lands where the link leads inside', async () => {
    fs.mkdirSync(`${bench.rootfs}/run`, { recursive: true });
    fs.mkdirSync(`${bench.rootfs}/var`, { recursive: true });
    fs.rmSync(`${bench.rootfs}/var/run`, { force: true });
    fs.symlinkSync('/run', `${bench.rootfs}/var/run`);
    const mounts: Mount[] = [
      { destination: '/run', type: 'tmpfs', options: [] },
      bind(`${volume}/file`, '/var/run/docker.sock'),
    ];
    expect(await bench.lines('cat /run/docker.sock', { mounts })).toEqual(['content']);
  });

  test('a tmpfs has the mode of what it covers', async () => {
    const mounts: Mount[] = [{ destination: '/tmp', type: 'tmpfs', options: ['noexec'] }];
    expect(await bench.lines('stat -c %a /tmp; grep " /tmp " /proc/mounts', { mounts })).toEqual([
      '1777',
      'tmpfs /tmp tmpfs rw,noexec,relatime 0 0',
    ]);
  });

  test('what the container mounts stays inside; what comes to a slave comes in', async () => {
    const peer = bench.at('peer');
    fs.mkdirSync(peer, { recursive: true });
    const lines = await bench.lines('grep " /v " /proc/self/mountinfo', { mounts: [bind(peer, '/v', 'rslave')] });
    expect(lines).toHaveLength(1);
  });

  test('a read-only root', async () => {
    const lines = await bench.lines('touch /x 2>&1; touch /dev/shm/y && echo shm', {
      spec: { root: { path: 'rootfs', readonly: true } },
    });
    expect(lines[0]).toContain('Read-only file system');
    expect(lines[1]).toBe('shm');
  });

  test('a device of the specification', async () => {
    const devices = [{ path: '/dev/mine', type: 'c', major: 1, minor: 5, fileMode: 0o640, uid: 5, gid: 6 }];
    const lines = await bench.lines('stat -c "%a %u %g %t:%T" /dev/mine', { linux: { devices } });
    expect(lines).toEqual(['640 5 6 1:5']);
  });

  const refused: readonly (readonly [string, Mount, string])[] = [
    ['a missing source', bind('/nonesuch', '/v'), 'bind source path does not exist: /nonesuch'],
    ['a directory on a file', bind('/tmp', '/etc/passwd'), 'Are you trying to mount a directory onto a file'],
    ['the root', { destination: '/../', type: 'tmpfs' }, 'A mount on "/" of the container is not possible'],
    ['an unknown option', { ...bind('/tmp', '/v'), options: ['bind', 'x'] }, 'means nothing for a bind mount'],
    ['a file system that may hang', { destination: '/v', type: 'nfs', source: 'a:/b' }, 'type "nfs" cannot be mounted'],
    ['no type', { destination: '/v' }, 'has no type'],
  ];
  test('more mounts than descriptors can go along', async () => {
    const mounts = Array.from({ length: 250 }, (_, i) => ({ destination: `/m${i}`, type: 'tmpfs' }));
    expect(await messageOf(bench.run(['true'], { mounts }))).toContain('at most 200 mounts');
    const many = mounts.slice(0, 190);
    expect(await bench.lines('grep -c " /m" /proc/mounts', { mounts: many })).toEqual(['190']);
  });

  for (const [name, mount, message] of refused)
    test(`refused: ${name}`, async () =>
      expect(await messageOf(bench.run(['true'], { mounts: [mount] }))).toContain(message));
});
