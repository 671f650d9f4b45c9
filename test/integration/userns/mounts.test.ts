/** Ids of mounts: podman's `idmap` and `U` on binds and volumes, with and without user namespaces. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const AUTO = ['--security-opt', 'userns=auto'];
let d: TestDaemon;
let source: string;
let count = 0;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 300_000);
afterAll(() => d[Symbol.asyncDispose](), 300_000);
beforeEach(() => {
  source = path.join(d.directory, `source-${count++}`);
  fs.mkdirSync(source);
  for (const [name, uid, gid] of [
    ['root', 0, 0],
    ['bob', 1000, 2000],
  ] as const) {
    fs.writeFileSync(path.join(source, name), name);
    fs.chownSync(path.join(source, name), uid, gid);
  }
});

const STAT = 'stat -c %n:%u:%g /m/*';
const inside = async (script: string, ...flags: string[]) =>
  (await d.must(['run', '--rm', '--network', 'none', ...flags, IMG, 'sh', '-c', script])).split('\n');
const owners = (directory = source) =>
  fs
    .readdirSync(directory)
    .sort()
    .map((name) => {
      const { uid, gid } = fs.lstatSync(path.join(directory, name));
      return `${name}:${uid}:${gid}`;
    });

describe('idmap', () => {
  test('alone: a bind of a container with a user namespace has the ids of inside', async () => {
    const lines = await inside(`${STAT}; touch /m/new; chown 7:8 /m/new`, ...AUTO, '-v', `${source}:/m:idmap`);
    expect(lines).toEqual(['/m/bob:1000:2000', '/m/root:0:0']);
    expect(owners()).toEqual(['bob:1000:2000', 'new:7:8', 'root:0:0']);
  });

  test('with maps: also without a user namespace', async () => {
    fs.chownSync(source, 1000, 2000);
    const maps = 'idmap=uids=1000-0-1;gids=2000-0-1';
    expect(await inside(`${STAT}; echo x >> /m/bob; touch /m/new; id -u`, '-v', `${source}:/m:${maps}`)).toEqual([
      '/m/bob:0:0',
      '/m/root:65534:65534',
      '0',
    ]);
    expect(owners()).toEqual(['bob:1000:2000', 'new:1000:2000', 'root:0:0']);
  });

  test('with maps of the container’s ids', async () => {
    const maps = 'idmap=uids=@1000-5-1#0-4000000-1;gids=@2000-6-1';
    expect(await inside(STAT, ...AUTO, '-v', `${source}:/m:ro,${maps}`)).toEqual(['/m/bob:5:6', '/m/root:65534:65534']);
  });

  test('is shown by inspect as it was asked for', async () => {
    const shown = await d.must(['create', '-v', `${source}:/m:idmap=uids=0-1-1;gids=0-1-1`, IMG, 'true']);
    expect(await d.must(['inspect', '-f', '{{(index .Mounts 0).Mode}}', shown])).toBe('idmap=uids=0-1-1;gids=0-1-1');
    await d.must(['rm', shown]);
  });

  test('what makes no sense is refused', async () => {
    const refused = async (...args: string[]) => (await d.docker(['run', '--rm', ...args, IMG, 'true'])).stderr;
    expect(await refused('-v', `${source}:/m:idmap=uids=x`)).toContain('is not ID-ID-COUNT');
    expect(await refused('-v', `${source}:/m:idmap`)).toContain('the container has no user namespace');
    expect(await refused('-v', `${source}:/m:idmap`, '-v', `${source}:/n:idmap,idmap`)).toContain('invalid mode');
    expect(await refused('-v', `/proc:/m:idmap=uids=0-1-1;gids=0-1-1`)).toContain('has no id-mapped mounts');
    expect((await d.must(['ps', '-aq'])).trim()).toBe('');
  });
});

describe('U', () => {
  test('gives a bind to the container’s user: ids of the host, of the range, or of the maps', async () => {
    expect(await inside(STAT, '-u', '5:6', '-v', `${source}:/m:U`)).toEqual(['/m/bob:5:6', '/m/root:5:6']);
    expect(owners()).toEqual(['bob:5:6', 'root:5:6']);
    expect(await inside(`${STAT}; touch /m/new`, ...AUTO, '-u', 'sailor', '-v', `${source}:/m:U`)).toEqual([
      '/m/bob:1000:1000',
      '/m/root:1000:1000',
    ]);
    const [, uid] = owners()[0]?.split(':') ?? [];
    expect(Number(uid)).toBeGreaterThan(1_000_000);
    await inside('true', ...AUTO, '-u', '9:9', '-v', `${source}:/m:U,idmap`);
    expect(owners()).toEqual(['bob:9:9', 'new:9:9', 'root:9:9']);
    await inside('true', '-u', '3:3', '-v', `${source}:/m:U,idmap=uids=70-3-1;gids=80-3-1`);
    expect(owners()).toEqual(['bob:70:80', 'new:70:80', 'root:70:80']);
  });

  test('gives a volume to it, and one file', async () => {
    await inside('mkdir /m/d; touch /m/d/f', '-v', 'given:/m');
    expect(await inside('stat -c %u:%g /m /m/d /m/d/f', ...AUTO, '-u', '5:6', '-v', 'given:/m:U')).toEqual([
      '5:6',
      '5:6',
      '5:6',
    ]);
    await inside('true', '-u', '8', '-v', `${source}/root:/f:U`);
    expect(owners()).toEqual(['bob:1000:2000', 'root:8:0']);
  });

  test('follows no link, leaves what belongs elsewhere and what the host lives on', async () => {
    const outside = path.join(d.directory, 'outside');
    fs.writeFileSync(outside, '');
    fs.symlinkSync(outside, path.join(source, 'link'));
    fs.linkSync(outside, path.join(source, 'planted'));
    await inside('true', '-u', '5:6', '-v', `${source}:/m:U`);
    expect(owners()).toEqual(['bob:5:6', 'link:5:6', 'planted:0:0', 'root:5:6']);
    expect(fs.statSync(outside).uid).toBe(0);
    fs.rmSync(outside);
    const r = await d.docker(['run', '--rm', '-v', '/etc:/m:U', IMG, 'true']);
    expect(r.stderr).toContain('changing the owners of host path "/etc" is not allowed');
    expect(fs.statSync('/etc/passwd').uid).toBe(0);
  });
});
