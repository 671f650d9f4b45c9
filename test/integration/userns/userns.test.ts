/** User namespaces: a range of ids for each container, and the same files on the disk for all of them. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { run } from '../../support/command.ts';
import { BERTHD, TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const AUTO = ['--security-opt', 'userns=auto'];
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 300_000);
afterAll(() => d[Symbol.asyncDispose](), 300_000);

const inside = (script: string, ...flags: string[]) =>
  d.must(['run', '--rm', '--network', 'none', ...flags, IMG, 'sh', '-c', script]);
const refused = async (...args: string[]) => {
  const r = await d.docker(args);
  expect(r.code).not.toBe(0);
  return r.stderr;
};
const inspect = (name: string, format: string) => d.must(['inspect', '-f', format, name]);
/** First host id of the container's range. */
async function rangeOf(name: string): Promise<{ start: number; size: number }> {
  const [inside, start, size] = (await d.must(['exec', name, 'cat', '/proc/self/uid_map'])).trim().split(/\s+/);
  expect(inside).toBe('0');
  return { start: Number(start), size: Number(size) };
}

describe('userns=auto', () => {
  test('has a range of its own, recorded, kept over restarts of container and daemon, free when it is gone', async () => {
    await d.must(['run', '-d', '--network', 'none', ...AUTO, '--name', 'one', IMG, 'sleep', '1000']);
    await d.must([
      'run',
      '-d',
      '--network',
      'none',
      '--security-opt',
      'userns=auto:size=2000',
      '--name',
      'two',
      IMG,
      'sleep',
      '1000',
    ]);
    const one = await rangeOf('one');
    const two = await rangeOf('two');
    expect([one.size, two.size]).toEqual([65_536, 2000]);
    expect(two.start >= one.start + one.size || two.start + two.size <= one.start).toBe(true);
    expect(await inspect('one', '{{.HostConfig.UsernsMode}}')).toBe('auto');
    const pid = await inspect('one', '{{.State.Pid}}');
    expect(fs.readFileSync(`/proc/${pid}/status`, 'utf8')).toContain(`Uid:\t${one.start}\t${one.start}`);
    await d.restart();
    expect(await rangeOf('one')).toEqual(one);
    await d.must(['restart', '-t', '0', 'one']);
    expect(await rangeOf('one')).toEqual(one);
    await d.must(['rm', '-f', 'one', 'two']);
    await d.must(['run', '-d', '--network', 'none', ...AUTO, '--name', 'three', IMG, 'sleep', '1000']);
    expect(await rangeOf('three')).toEqual(one);
    await d.must(['rm', '-f', 'three']);
  }, 300_000);

  test('made at once they do not share', async () => {
    const names = ['p1', 'p2', 'p3', 'p4', 'p5'];
    await Promise.all(
      names.map((name) => d.must(['run', '-d', '--network', 'none', ...AUTO, '--name', name, IMG, 'sleep', '1000'])),
    );
    const starts = await Promise.all(names.map(async (name) => (await rangeOf(name)).start));
    const sorted = [...starts].sort((a, b) => a - b);
    expect(sorted.every((start, i) => i === 0 || start - (sorted[i - 1] ?? 0) >= 65_536)).toBe(true);
    await d.must(['rm', '-f', ...names]);
  }, 300_000);

  test('the image’s files are root’s, and what is written has ids of inside on the disk', async () => {
    await d.must(['run', '-d', '--network', 'none', ...AUTO, '--name', 'disk', IMG, 'sleep', '1000']);
    const script =
      'stat -c %u:%g / /bin/sh /etc/passwd; echo x >> /etc/passwd; touch /new; chown 1000:2000 /new; rm -r /home; mkdir /etc/d && rmdir /etc/d; id -u';
    expect((await d.must(['exec', 'disk', 'sh', '-c', script])).split('\n')).toEqual(['0:0', '0:0', '0:0', '0']);
    const upper = await inspect('disk', '{{.GraphDriver.Data.UpperDir}}');
    const owner = (name: string) => {
      const { uid, gid } = fs.lstatSync(path.join(upper, name));
      return [uid, gid];
    };
    expect([owner('new'), owner('etc/passwd'), owner('.')]).toEqual([
      [1000, 2000],
      [0, 0],
      [0, 0],
    ]);
    // A whiteout: what was removed stays removed after a start of everything.
    await d.must(['restart', '-t', '0', 'disk']);
    expect(await d.must(['exec', 'disk', 'sh', '-c', 'stat -c %u:%g /new; ls -d /home 2>/dev/null || echo gone'])).toBe(
      '1000:2000\ngone',
    );
    await d.must(['rm', '-f', 'disk']);
  }, 300_000);

  test('files, devices, kernel file systems and streams that the engine makes belong to its root', async () => {
    const paths =
      '/etc/hosts /etc/hostname /etc/resolv.conf /dev /dev/pts /dev/ptmx /dev/pts/ptmx /dev/shm /dev/null /dev/fd';
    const lines = await inside(
      `stat -c %u:%g ${paths} | sort -u; echo 127.0.0.9 me >> /etc/hosts && tail -1 /etc/hosts; echo o > /dev/stdout; echo n > /dev/null && echo ok`,
      ...AUTO,
    );
    expect(lines.split('\n')).toEqual(['0:0', '127.0.0.9 me', 'o', 'ok']);
    const script =
      'mount -t tmpfs x /mnt 2>&1 | grep -c denied; hostname; stat -L -c %u /proc/self; ls /sys/class/net; grep -c . /proc/self/mountinfo > /dev/null && echo proc';
    expect(await inside(script, ...AUTO, '--hostname', 'mapped')).toBe('1\nmapped\n0\nlo\nproc');
  });

  test('a user of the image with a terminal owns it', async () => {
    const r = await d.must([
      'run',
      '--rm',
      '-t',
      '--network',
      'none',
      ...AUTO,
      '-u',
      'sailor',
      IMG,
      'sh',
      '-c',
      'id -u; stat -c %u:%g /dev/pts/0 /dev/console; echo x > /dev/tty',
    ]);
    expect(r.replaceAll('\r', '').split('\n')).toEqual(['1000', '1000:5', '1000:5', 'x']);
    expect(await refused('run', '--rm', ...AUTO, '-u', '70000', IMG, 'true')).toContain('uid 70000 is not mapped');
  });

  test('exec, top, init, read-only root, tmpfs, ulimits, sysctls and network work in it', async () => {
    const flags = [
      '--init',
      '--read-only',
      '--tmpfs',
      '/t',
      '--ulimit',
      'nofile=100:200',
      '--sysctl',
      'net.ipv4.ip_forward=1',
    ];
    await d.must(['run', '-d', ...AUTO, ...flags, '--name', 'all', IMG, 'sleep', '1000']);
    const script =
      'cat /proc/1/comm; touch /x 2>&1 | grep -c Read-only; touch /t/x && stat -c %u /t/x; ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward; ping -c 1 -w 5 127.0.0.1 > /dev/null && echo pong';
    expect((await d.must(['exec', 'all', 'sh', '-c', script])).split('\n')).toEqual([
      'docker-init',
      '1',
      '0',
      '100',
      '200',
      '1',
      'pong',
    ]);
    expect(
      await d.must([
        'exec',
        '-u',
        '1000',
        'all',
        'sh',
        '-c',
        'id -u; touch /t/y; stat -c %u /t/y; cat /proc/sys/net/ipv4/ping_group_range',
      ]),
    ).toBe('1000\n1000\n0\t65535');
    expect(await d.must(['exec', '-t', 'all', 'stat', '-c', '%u', '/dev/pts/0'])).toBe('0');
    const { start } = await rangeOf('all');
    expect(await d.must(['top', 'all'])).toContain(String(start).slice(0, 7));
    expect(await d.must(['exec', 'all', 'sh', '-c', 'ip -4 -o addr show eth0 | grep -c inet'])).toBe('1');
    await d.must(['rm', '-f', 'all']);
  }, 300_000);

  test('who joins its network or processes joins its ids', async () => {
    await d.must(['run', '-d', ...AUTO, '--name', 'host', IMG, 'sleep', '1000']);
    const { start } = await rangeOf('host');
    const script = 'cat /proc/self/uid_map; ip -4 -o addr show eth0 | grep -c inet; touch /new && stat -c %u /new';
    for (const mode of ['--network', '--pid']) {
      const out = await d.must(['run', '--rm', mode, 'container:host', IMG, 'sh', '-c', script]);
      const lines = out.split('\n').map((line) => line.trim());
      expect(lines[0]?.split(/\s+/)[1]).toBe(String(start));
      expect(lines.at(-1)).toBe('0');
    }
    const joined = ['--security-opt', 'userns=container:host'];
    expect((await inside('cat /proc/self/uid_map', ...joined)).trim().split(/\s+/)[1]).toBe(String(start));
    expect(await refused('run', '--rm', ...AUTO, '--network', 'container:host', IMG, 'true')).toContain(
      'it has another user namespace',
    );
    await d.must(['rm', '-f', 'host']);
  }, 300_000);

  test('what cannot be is refused', async () => {
    expect(await refused('run', '--rm', ...AUTO, '--privileged', IMG, 'true')).toContain(
      'privileged mode is incompatible with user namespaces.',
    );
    expect(await refused('run', '--rm', ...AUTO, '--network', 'host', IMG, 'true')).toContain(
      "cannot share the host's network namespace when user namespaces are enabled",
    );
    expect(await refused('run', '--rm', ...AUTO, '--pid', 'host', IMG, 'true')).toContain(
      'cannot share the host PID namespace when user namespaces are enabled',
    );
    expect(await refused('run', '--rm', '--security-opt', 'userns=keep-id', IMG, 'true')).toContain(
      '"keep-id" is not supported',
    );
    expect(await refused('run', '--rm', '--security-opt', 'userns=auto:size=x', IMG, 'true')).toContain(
      'invalid userns mode',
    );
  });
});

test('a volume has the same ids for every container', async () => {
  await inside('echo a > /v/a; chown 1000:1001 /v/a', ...AUTO, '-v', 'shared:/v');
  await inside('touch /v/b', '-v', 'shared:/v');
  const script = 'stat -c %n:%u:%g /v/* /v; rm /v/b';
  expect(await inside(script, ...AUTO, '-v', 'shared:/v')).toBe('/v/a:1000:1001\n/v/b:0:0\n/v:0:0');
  expect(fs.readdirSync(path.join(d.dataRoot, 'volumes/shared/_data'))).toEqual(['a']);
});

test('so have a part of a volume and an image that is mounted', async () => {
  await inside('mkdir -p /v/sub && echo a > /v/sub/a && chown 5:6 /v/sub/a', ...AUTO, '-v', 'parts:/v');
  const flags = [
    ...['--mount', 'type=volume,src=parts,dst=/p,volume-subpath=sub'],
    ...['--mount', `type=image,src=${IMG},dst=/i`, '--mount', `type=image,src=${IMG},dst=/e,image-subpath=etc`],
  ];
  expect(await inside('stat -c %u:%g /p /p/a /i/bin /e/passwd', ...AUTO, ...flags)).toBe('0:0\n5:6\n0:0\n0:0');
}, 300_000);

test('a bind keeps the ids of the host', async () => {
  const directory = path.join(d.directory, 'bind');
  fs.mkdirSync(directory);
  fs.writeFileSync(path.join(directory, 'f'), 'x');
  fs.chownSync(path.join(directory, 'f'), 1000, 1000);
  expect(await inside('stat -c %u /b/f /b; touch /b/x 2>&1 | grep -c denied', ...AUTO, '-v', `${directory}:/b`)).toBe(
    '65534\n65534\n1',
  );
});

test('the daemon’s death between record and launch frees nothing and leaks nothing', async () => {
  await d.kill();
  await d.launch({ BERTH_FAILPOINTS: 'create.layer-made=kill' });
  await d.docker(['create', ...AUTO, '--name', 'half', IMG, 'true']);
  expect(await d.ended()).toBe('SIGKILL');
  await d.launch();
  await d.must(['create', ...AUTO, '--name', 'half', IMG, 'true']);
  await d.must(['start', '-a', 'half']);
  await d.must(['rm', 'half']);
}, 300_000);

describe('userns-remap', () => {
  let remapped: TestDaemon;
  const START = 1_200_000_000;
  const files = ['/etc/subuid', '/etc/subgid'];
  const lines = `games:${START}:65536\n`;
  beforeAll(async () => {
    for (const file of files) fs.appendFileSync(file, lines);
    remapped = await TestDaemon.start({ args: ['--userns-remap', 'games'] });
  }, 300_000);
  afterAll(async () => {
    for (const file of files) fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(lines, ''));
    await remapped[Symbol.asyncDispose]();
  }, 300_000);

  test('is the default of every container, and host is without', async () => {
    const show = (...flags: string[]) =>
      remapped.must([
        'run',
        '--rm',
        '--network',
        'none',
        ...flags,
        IMG,
        'sh',
        '-c',
        'cat /proc/self/uid_map; stat -c %u /bin/sh',
      ]);
    const fields = async (...flags: string[]) => (await show(...flags)).trim().split(/\s+/);
    expect(await fields()).toEqual(['0', String(START), '65536', '0']);
    expect(await fields('--userns', 'host')).toEqual(['0', '0', '4294967295', '0']);
    expect(await fields('--userns', 'host', '--privileged')).toEqual(['0', '0', '4294967295', '0']);
    expect(Number((await fields(...AUTO))[1])).not.toBe(START);
    const info = await remapped.must(['info', '-f', '{{.SecurityOptions}}']);
    expect(info).toContain('name=userns');
    const r = await remapped.docker(['run', '--rm', '--privileged', IMG, 'true']);
    expect(r.stderr).toContain('You must run the container in the host namespace when running privileged mode');
  }, 300_000);

  test('containers keep the ids they were made with when the setting goes', async () => {
    await remapped.must(['run', '-d', '--network', 'none', '--name', 'kept', IMG, 'sleep', '1000']);
    await remapped.restart();
    expect(await remapped.must(['exec', 'kept', 'sh', '-c', 'touch /x; stat -c %u /x'])).toBe('0');
    await remapped.must(['rm', '-f', 'kept']);
  }, 300_000);
});

test('a user without subordinate ids keeps the daemon from starting', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-test-'));
  const at = (name: string) => path.join(directory, name);
  const [program = '', ...first] = BERTHD;
  const roots = [
    '--data-root',
    at('data'),
    '--exec-root',
    at('exec'),
    '-H',
    `unix://${at('sock')}`,
    '--bridge',
    'none',
  ];
  const r = await run(program, [...first, ...roots, '--userns-remap', 'mail']);
  fs.rmSync(directory, { recursive: true });
  expect(r.code).not.toBe(0);
  expect(r.stderr).toContain('no subuid ranges found for user');
}, 300_000);
