/** What a container with a user namespace cannot do to the host or to another one, also when it has got out. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { must, run } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const AUTO = ['--security-opt', 'userns=auto'];
/** What the disk has for the host's root where a mount has the maps of a container (libcontainer/id-map.ts). */
const HOST_ROOT_ON_DISK = 0xffff_fffe;
let d: TestDaemon;
let alice: { readonly start: number; readonly pid: number };
let bob: typeof alice;
let shared: string;

beforeAll(async () => {
  d = await TestDaemon.start();
  shared = path.join(d.directory, 'shared');
  fs.mkdirSync(shared);
  fs.chmodSync(shared, 0o1777);
  alice = await started('alice');
  bob = await started('bob');
}, 300_000);
afterAll(() => d[Symbol.asyncDispose](), 300_000);

async function started(name: string): Promise<typeof alice> {
  const mounts = ['-v', `${name}:/own`, '-v', `${shared}:/shared`];
  await d.must(['run', '-d', '--network', 'none', ...AUTO, ...mounts, '--name', name, IMG, 'sleep', '1000']);
  const map = await d.must(['exec', name, 'cat', '/proc/self/uid_map']);
  return {
    start: Number(map.trim().split(/\s+/)[1]),
    pid: Number(await d.must(['inspect', '-f', '{{.State.Pid}}', name])),
  };
}

const inside = async (name: string, script: string) => {
  const r = await d.docker(['exec', name, 'sh', '-c', script]);
  return `${r.stdout}${r.stderr}`.trim();
};
/** As root of the container, but outside of it: what an escape would give. */
const escaped = (who: typeof alice, script: string) =>
  run('setpriv', ['--reuid', String(who.start), '--regid', String(who.start), '--clear-groups', 'sh', '-c', script]);

test('its root is nobody on the host: neither files nor processes of the host are its own', async () => {
  for (const script of [
    'cat /etc/shadow',
    'touch /etc/x',
    `kill -0 ${process.pid}`,
    'chown 0 /tmp',
    `ls ${d.dataRoot}`,
    `ls ${d.execRoot}`,
  ]) {
    const r = await escaped(alice, script);
    expect(`${script}: ${r.code !== 0} ${/denied|not permitted/.test(r.stderr)}`).toBe(`${script}: true true`);
  }
});

test('two containers reach each other by nothing: processes, files on a common bind, volumes', async () => {
  expect(bob.start >= alice.start + 65_536 || alice.start >= bob.start + 65_536).toBe(true);
  for (const script of [
    `kill -0 ${bob.pid}`,
    `ls /proc/${bob.pid}/root/`,
    `cat /proc/${bob.pid}/environ`,
    `nsenter -t ${bob.pid} -U true`,
  ]) {
    const r = await escaped(alice, script);
    expect(`${script}: ${r.code !== 0}`).toBe(`${script}: true`);
  }
  await inside('alice', 'umask 077; echo secret > /shared/of-alice; echo secret > /own/f');
  expect(fs.statSync(path.join(shared, 'of-alice')).uid).toBe(alice.start);
  expect(await inside('bob', 'cat /shared/of-alice')).toContain('Permission denied');
  expect(await inside('bob', 'rm -f /shared/of-alice; chown 0 /shared/of-alice')).toMatch(/not permitted|denied/);
  expect(fs.readFileSync(path.join(shared, 'of-alice'), 'utf8')).toBe('secret\n');
  expect((await escaped(bob, `cat ${d.dataRoot}/volumes/alice/_data/f`)).stderr).toContain('denied');
});

test('no id outside of its range can be had: by chown, by setuid, by a link of a file', async () => {
  expect(await inside('alice', 'touch /f; chown 65536 /f; chown 4294967294 /f')).toMatch(
    /Invalid argument[\s\S]*Invalid argument/,
  );
  const r = await d.docker(['exec', '-u', '65536', 'alice', 'true']);
  expect(r.code).not.toBe(0);
  expect(r.stdout + r.stderr).toContain('uid 65536 is not mapped');
});

test('a setuid program gives the root of inside, never that of the host', async () => {
  const volume = path.join(d.dataRoot, 'volumes/alice/_data');
  const source = path.join(d.directory, 'ids.c');
  fs.writeFileSync(
    source,
    '#include <stdio.h>\n#include <unistd.h>\nint main(void) { printf("%d %d", getuid(), geteuid()); }\n',
  );
  for (const [name, owner] of [
    ['of-root', 0],
    // The id that stands for the host's root on the disk: nobody's inside, and no program becomes it.
    ['planted', HOST_ROOT_ON_DISK],
  ] as const) {
    const file = path.join(volume, name);
    await must('gcc', ['-static', '-o', file, source]);
    fs.chownSync(file, owner, owner);
    fs.chmodSync(file, 0o6755);
  }
  expect(await inside('alice', 'stat -c %u:%g /own/of-root /own/planted')).toBe('0:0\n65534:65534');
  expect(await d.must(['exec', '-u', '1000', 'alice', '/own/of-root'])).toBe('1000 0');
  expect(await d.must(['exec', '-u', '1000', 'alice', '/own/planted'])).toBe('1000 1000');
  expect(await inside('alice', 'chmod 777 /own/planted; echo x >> /own/planted')).toMatch(/not permitted[\s\S]*denied/);
});

test('no devices, no mounts, no kernel parameters, with every capability that can be added', async () => {
  const script = [
    'mknod /n b 8 0',
    'mknod /n c 1 1',
    'echo 1 > /proc/sys/kernel/printk',
    'echo x > /proc/sysrq-trigger',
    'echo 0 > /proc/1/oom_score_adj && echo -1000 > /proc/1/oom_score_adj',
    'cat /proc/kcore > /dev/null',
    'mount -o remount,rw /sys && echo 0 > /sys/kernel/profiling',
    'mkdir /c && mount -t cgroup -o memory none /c && echo x > /c/release_agent',
  ];
  for (const line of script) {
    const r = await d.docker(['run', '--rm', '--network', 'none', ...AUTO, '--cap-add', 'ALL', IMG, 'sh', '-c', line]);
    expect(`${line}: ${r.code !== 0}`).toBe(`${line}: true`);
  }
}, 300_000);

test('nothing of the host appears in its root: descriptors, environment, mounts of the data root', async () => {
  expect(await inside('alice', 'ls /proc/1/fd | tr "\\n" " "')).toBe('0 1 2');
  expect(await inside('alice', 'cut -d" " -f5 /proc/self/mountinfo')).not.toContain(d.directory);
  expect(await inside('alice', 'cat /proc/1/setgroups /proc/1/gid_map | tr -s " "')).toContain(
    `0 ${alice.start} 65536`,
  );
});

test('owners given by :U stay inside while the tree is swapped under it (5 s)', async () => {
  const canary = path.join(d.directory, 'canary');
  fs.mkdirSync(canary);
  fs.writeFileSync(path.join(canary, 'f'), '');
  const tree = path.join(d.directory, 'tree');
  fs.mkdirSync(path.join(tree, 'a/b'), { recursive: true });
  fs.writeFileSync(path.join(tree, 'a/f'), '');
  const swap = `while :; do mv /t/a /t/x; ln -s ${canary} /t/a; rm /t/a; mv /t/x /t/a; done`;
  await d.must([
    'run',
    '-d',
    '--network',
    'none',
    '-v',
    `${tree}:/t`,
    '-v',
    `${canary}:${canary}`,
    '--name',
    'swapper',
    IMG,
    'sh',
    '-c',
    swap,
  ]);
  const until = performance.now() + 5000;
  let starts = 0;
  while (performance.now() < until) {
    const r = await d.docker(['run', '--rm', '--network', 'none', '-u', '4711', '-v', `${tree}:/t:U`, IMG, 'true']);
    expect(r.stderr).toBe('');
    starts += 1;
  }
  await d.must(['rm', '-f', 'swapper']);
  expect(starts).toBeGreaterThan(1);
  expect([fs.statSync(canary).uid, fs.statSync(path.join(canary, 'f')).uid]).toEqual([0, 0]);
  expect(fs.statSync(tree).uid).toBe(4711);
}, 300_000);
