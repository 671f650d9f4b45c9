/** One test per row of the table of known escapes that applies to what is there. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxEntries, tar, writeArchive } from '../support/base-images.ts';
import { must, SLOW } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const inside = (script: string, ...flags: string[]) =>
  d.docker(['run', '--rm', '--network', 'none', ...flags, IMG, 'sh', '-c', script]);

test('data root and exec root are closed to other users (CVE-2021-41091)', () => {
  expect(fs.statSync(d.dataRoot).mode & 0o777).toBe(0o710);
  expect(fs.statSync(d.execRoot).mode & 0o777).toBe(0o700);
  expect(fs.statSync(path.join(d.dataRoot, 'containers')).mode & 0o007).toBe(0);
  expect(fs.statSync(d.socket).mode & 0o777).toBe(0o660);
});

test('no descriptor of the engine is open in a container (CVE-2024-21626)', async () => {
  const r = await inside('ls /proc/self/fd | sort -n | tr "\\n" " "');
  expect(r.stdout.trim()).toBe('0 1 2 3'); // 3 is the directory that ls reads
  await d.must(['run', '-d', '--name', 'fds', '--network', 'none', IMG, 'sleep', '100']);
  expect((await d.must(['exec', 'fds', 'sh', '-c', 'ls /proc/self/fd | tr "\\n" " "'])).trim()).toBe('0 1 2 3');
  expect((await d.must(['exec', 'fds', 'ls', '/proc/1/fd'])).split('\n')).toEqual(['0', '1', '2']);
  await d.must(['rm', '-f', 'fds']);
});

test('every masked path is empty, every read-only path refuses', async () => {
  const masked = [
    '/proc/acpi',
    '/proc/asound',
    '/proc/interrupts',
    '/proc/kcore',
    '/proc/keys',
    '/proc/latency_stats',
    '/proc/sched_debug',
    '/proc/scsi',
    '/proc/timer_list',
    '/proc/timer_stats',
    '/sys/devices/virtual/powercap',
    '/sys/firmware',
  ].filter((p) => fs.existsSync(p));
  expect(masked.length).toBeGreaterThan(4);
  // AppArmor may refuse what is masked besides.
  const empty = (p: string) => `if [ -d ${p} ]; then ls -A ${p} | wc -l; else (wc -c < ${p}) 2>/dev/null || echo 0; fi`;
  const script = masked.map(empty).join('; ');
  expect((await inside(script)).stdout.trim().split('\n')).toEqual(masked.map(() => '0'));
  const r = await inside(
    'for p in /proc/bus /proc/fs /proc/irq /proc/sys/kernel; do touch $p/x 2>&1; done; echo x > /proc/sysrq-trigger; echo 1 > /proc/sys/vm/drop_caches',
  );
  expect(r.stdout + r.stderr).not.toContain('File exists');
  expect((r.stdout + r.stderr).match(/Read-only file system|No such file/g)?.length).toBeGreaterThanOrEqual(5);
});

test('what Docker’s filter refuses is refused: AF_ALG, user namespaces, keyrings, new mounts (CVE-2026-31431, 2022-0185)', async () => {
  const work = path.join(d.directory, 'probe');
  fs.mkdirSync(work);
  fs.writeFileSync(
    path.join(work, 'probe.c'),
    `#define _GNU_SOURCE
#include <stdio.h>
#include <errno.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <sys/socket.h>
#include <sched.h>
static void say(const char *what, long r) { printf("%s %d\\n", what, r < 0 ? errno : 0); }
int main(void) {
  say("af_alg", socket(38, 5, 0));
  say("af_vsock", socket(40, 1, 0));
  say("unshare", unshare(CLONE_NEWUSER));
  say("keyctl", syscall(SYS_keyctl, 0, -3, 0));
  say("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -3));
  say("io_uring", syscall(425, 1, 0));
  say("fsopen", syscall(430, "tmpfs", 0));
  say("bpf", syscall(SYS_bpf, 0, 0, 0));
  say("userfaultfd", syscall(SYS_userfaultfd, 0));
  say("clone3", syscall(435, 0, 0));
  say("personality", syscall(SYS_personality, 0x0040000));
  say("newest", syscall(999, 0));
  return 0;
}
`,
  );
  await must('gcc', ['-static', '-o', path.join(work, 'probe'), path.join(work, 'probe.c')]);
  const r = await inside('/w/probe', '-v', `${work}:/w:ro`);
  expect(r.stdout.trim().split('\n')).toEqual([
    'af_alg 1',
    'af_vsock 1',
    'unshare 1',
    'keyctl 1',
    'add_key 1',
    'io_uring 1',
    'fsopen 1',
    'bpf 1',
    'userfaultfd 1',
    'clone3 38',
    'personality 1',
    'newest 38',
  ]);
});

test('numeric users never become names (CVE-2026-46680, 2026-30892)', async () => {
  const entries = busyboxEntries(['sh', 'id']).filter((e) => e.name !== 'etc/passwd');
  const passwd = new TextEncoder().encode('root:x:0:0::/:/bin/sh\n1000:x:0:0::/:/bin/sh\n');
  const archive = writeArchive(`numeric-${process.pid}.tar`, {
    reference: 'berth.test/numeric:1',
    layers: [tar([...entries, { name: 'etc/passwd', type: '0', mode: 0o644, content: passwd }])],
  });
  await d.must(['load', '-q', '-i', archive.path]);
  expect(await d.must(['run', '--rm', '--network', 'none', '-u', '1000', 'berth.test/numeric:1', 'id', '-u'])).toBe(
    '1000',
  );
  await d.must(['rmi', 'berth.test/numeric:1']);
  fs.rmSync(archive.path);
});

test('an image’s VOLUME with .. stays inside (CVE-2022-23648)', async () => {
  const archive = writeArchive(`volume-${process.pid}.tar`, {
    reference: 'berth.test/volume:1',
    layers: [tar(busyboxEntries(['sh', 'ls']))],
    config: { Volumes: { '/../../etc': {} } },
  });
  await d.must(['load', '-q', '-i', archive.path]);
  const r = await d.docker(['run', '--rm', '--network', 'none', 'berth.test/volume:1', 'ls', '/etc']);
  expect(r.stdout).not.toContain('shadow');
  await d.must(['rmi', '-f', 'berth.test/volume:1']);
  fs.rmSync(archive.path);
});

test('a container on the host’s network reaches no socket of the engine', async () => {
  const r = await d.docker(['run', '--rm', '--network', 'host', IMG, 'cat', '/proc/net/unix']);
  const ours = r.stdout.split('\n').filter((l) => l.includes('@') && /berth|monitor/.test(l));
  expect(ours).toEqual([]);
});

test('a volume that is swapped for a symlink while containers start never mounts outside (CVE-2021-30465)', async () => {
  const shared = path.join(d.directory, 'shared');
  const canary = path.join(d.directory, 'canary');
  fs.mkdirSync(path.join(shared, 'target'), { recursive: true });
  fs.mkdirSync(canary);
  let stop = false;
  const swap = (async () => {
    while (!stop) {
      fs.rmSync(path.join(shared, 'target'), { recursive: true, force: true });
      // The engine makes a missing mount point itself: then it is there already.
      for (const swap of [
        () => fs.symlinkSync(canary, path.join(shared, 'target')),
        () => fs.mkdirSync(path.join(shared, 'target')),
      ]) {
        try {
          swap();
        } catch (error) {
          if (!String(error).includes('EEXIST')) throw error;
        }
        await Bun.sleep(0);
        fs.rmSync(path.join(shared, 'target'), { recursive: true, force: true });
      }
    }
  })();
  const end = Date.now() + SLOW * 5000;
  let runs = 0;
  while (Date.now() < end) {
    await d.docker([
      'run',
      '--rm',
      '--network',
      'none',
      '-v',
      `${shared}:/v`,
      '--tmpfs',
      '/v/target',
      IMG,
      'sh',
      '-c',
      'touch /v/target/escaped',
    ]);
    runs++;
  }
  stop = true;
  await swap;
  expect(runs).toBeGreaterThan(10);
  expect(fs.readdirSync(canary)).toEqual([]);
  expect(fs.readFileSync('/proc/self/mounts', 'utf8')).not.toContain(canary);
}, 30_000);
