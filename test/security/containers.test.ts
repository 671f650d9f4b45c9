/** Rows of the table of known escapes that belong to create, cgroups, users and devices. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxEntries, tar, writeArchive } from '../support/base-images.ts';
import { TestDaemon } from '../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
let d: TestDaemon;
let specs: string;
beforeAll(async () => {
  specs = fs.mkdtempSync('/tmp/berth-cdi-');
  d = await TestDaemon.start({ noBridge: true, args: ['--cdi-spec-dir', specs] });
}, 60_000);
afterAll(async () => {
  await d[Symbol.asyncDispose]();
  fs.rmSync(specs, { recursive: true });
}, 60_000);

async function inside(script: string, ...flags: string[]): Promise<string> {
  const r = await d.docker(['run', '--rm', ...none, ...flags, IMG, 'sh', '-c', script]);
  return r.stdout + r.stderr;
}

type Entries = ReturnType<typeof busyboxEntries>;

/** An image of busybox with something hostile in it, for one test. */
async function hostile(
  name: string,
  change: { readonly entries?: (entries: Entries) => Entries; readonly config?: Record<string, unknown> },
): Promise<{ readonly image: string } & AsyncDisposable> {
  const image = `berth.test/${name}:1`;
  const entries = busyboxEntries(['sh', 'id', 'ls', 'cat', 'pwd']);
  const archive = writeArchive(`${name}-${process.pid}.tar`, {
    reference: image,
    layers: [tar(change.entries?.(entries) ?? entries)],
    ...(change.config === undefined ? {} : { config: change.config }),
  });
  await d.must(['load', '-q', '-i', archive.path]);
  fs.rmSync(archive.path);
  return {
    image,
    [Symbol.asyncDispose]: async () => {
      await d.docker(['rmi', '-f', image]);
    },
  };
}

test('cgroups are read-only and cannot be mounted anew (CVE-2022-0492)', async () => {
  const files = 'find /sys/fs/cgroup -maxdepth 2 -name release_agent -o -maxdepth 2 -name cgroup.procs';
  const told = await inside(
    `for f in $(${files}); do echo 0 > $f && echo WRITTEN; done; ` +
      'mkdir -p /tmp/c; for t in cgroup cgroup2; do mount -t $t none /tmp/c && echo MOUNTED; done; mkdir /sys/fs/cgroup/x && echo MADE',
  );
  expect(told).toMatch(/Read-only file system/);
  expect(told).not.toMatch(/WRITTEN|MOUNTED|MADE/);
}, 30_000);

test('no capability is inheritable or ambient, for users neither in effect (CVE-2022-24769, CVE-2022-29162)', async () => {
  const caps = 'grep -E "Cap(Inh|Amb)" /proc/self/status | cut -f2 | sort -u';
  expect(await inside(caps)).toBe('0000000000000000\n');
  expect(await inside('grep -E "Cap(Inh|Prm|Eff|Amb)" /proc/self/status | cut -f2 | sort -u', '-u', '1000')).toBe(
    '0000000000000000\n',
  );
  await d.must(['run', '-d', '--name', 'caps', ...none, IMG, 'sleep', '100']);
  expect(await d.must(['exec', 'caps', 'sh', '-c', caps])).toBe('0000000000000000');
  await d.must(['rm', '-f', 'caps']);
}, 30_000);

test('a user has the groups of the image, and no others (CVE-2022-36109)', async () => {
  await using made = await hostile('groups', {
    entries: (entries) => [
      ...entries.filter((e) => !['etc/passwd', 'etc/group'].includes(e.name)),
      {
        name: 'etc/passwd',
        type: '0',
        mode: 0o644,
        content: Buffer.from('root:x:0:0::/:/bin/sh\nbob:x:1000:1000::/:/bin/sh\n'),
      },
      {
        name: 'etc/group',
        type: '0',
        mode: 0o644,
        content: Buffer.from('root:x:0:\nbob:x:1000:\nwheel:x:77:root,bob\nother:x:78:root\n'),
      },
    ],
  });
  const id = (...flags: string[]) => d.must(['run', '--rm', ...none, ...flags, made.image, 'id', '-G']);
  expect(await id('-u', 'bob')).toBe('1000 77');
  expect(await id('-u', '1000')).toBe('1000 77');
  // With a group that is named, only that one.
  expect(await id('-u', 'bob:other')).toBe('78');
  expect(await id('-u', 'bob', '--group-add', 'other')).toBe('1000 77 78');
}, 30_000);

test('ids that do not fit are refused, not cut (CVE-2024-40635)', async () => {
  for (const user of ['4294967296', '-1', '4294967295', '0:4294967296', '99999999999999999999']) {
    const r = await d.docker(['run', '--rm', ...none, '-u', user, IMG, 'id']);
    expect([user, r.code === 0]).toEqual([user, false]);
  }
  expect((await d.docker(['run', '--rm', ...none, '--group-add', '4294967296', IMG, 'id'])).code).not.toBe(0);
}, 30_000);

test('a /dev or /proc of the image that is a link makes nothing outside (CVE-2026-41579, CVE-2026-47766, CVE-2023-28642)', async () => {
  const canary = fs.mkdtempSync('/tmp/berth-canary-');
  try {
    for (const [name, link] of [
      ['dev', canary],
      ['proc', canary],
      ['sys', canary],
      ['dev', '/../../..' + canary],
    ] as const) {
      await using made = await hostile('links', {
        entries: (entries) => [...entries.filter((e) => e.name !== `${name}/`), { name, type: '2', mode: 0o777, link }],
      });
      const r = await d.docker([
        'run',
        '--rm',
        ...none,
        '--device',
        '/dev/loop-control:/dev/xx',
        made.image,
        'ls',
        '/',
      ]);
      expect([name, r.code === 0]).toEqual([name, false]);
      expect(fs.readdirSync(canary)).toEqual([]);
    }
  } finally {
    fs.rmdirSync(canary);
  }
}, 60_000);

test('no volume and no tmpfs goes on /proc (CVE-2019-16884, CVE-2019-19921)', async () => {
  await using made = await hostile('proc-volume', { config: { Volumes: { '/proc': {} } } });
  expect((await d.docker(['run', '--rm', ...none, made.image, 'ls', '/proc'])).code).not.toBe(0);
  for (const flags of [
    ['--tmpfs', '/proc'],
    ['--tmpfs', '/proc/self/attr'],
    ['-v', '/tmp:/proc/sys/kernel'],
  ]) {
    const r = await d.docker(['run', '--rm', ...none, ...flags, IMG, 'true']);
    expect([flags, r.code === 0]).toEqual([flags, false]);
  }
}, 30_000);

test('a working directory that is a descriptor of the engine is none (CVE-2024-21626)', async () => {
  for (let n = 3; n < 16; n++) {
    const r = await d.docker([
      'run',
      '--rm',
      ...none,
      '-w',
      `/proc/self/fd/${n}`,
      IMG,
      'sh',
      '-c',
      'ls ../../../etc/shadow',
    ]);
    expect([n, r.code === 0]).toEqual([n, false]);
    expect(r.stdout).not.toContain('shadow');
  }
}, 60_000);

test('lists of users and groups that are too long are refused, and the daemon stays small (CVE-2026-50195)', async () => {
  const line = 'g:x:1:' + 'a,'.repeat(500) + '\n';
  const content = Buffer.from('root:x:0:0::/:/bin/sh\n' + line.repeat((24 << 20) / line.length));
  for (const name of ['etc/passwd', 'etc/group']) {
    await using made = await hostile('long', {
      entries: (entries) => [...entries.filter((e) => e.name !== name), { name, type: '0', mode: 0o644, content }],
    });
    const r = await d.docker(['run', '--rm', ...none, '-u', 'nobody', made.image, 'id'], { limitMs: 30_000 });
    expect([name, r.code === 0]).toEqual([name, false]);
  }
  expect(await inside('echo alive')).toBe('alive\n');
}, 120_000);

test('disks of the host are not opened by nodes that a container makes', async () => {
  const disks = [...fs.readFileSync('/proc/partitions', 'utf8').matchAll(/^\s*(\d+)\s+(\d+)\s+\d+ (\S+)$/gm)].slice(
    0,
    3,
  );
  for (const [, major = '', minor = ''] of disks) {
    const told = await inside(`mknod /tmp/disk b ${major} ${minor} && head -c 1 /tmp/disk | wc -c`);
    expect(told).toMatch(/not permitted|^0$/m);
    expect(told).not.toMatch(/^1$/m);
  }
  expect(await inside('mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem')).toContain('not permitted');
  // Given for reading, it is not given for writing or making.
  const told = await inside(
    '(: > /dev/given); mknod /tmp/given c 10 237 && (: > /tmp/given)',
    '--device',
    '/dev/loop-control:/dev/given:r',
  );
  expect(told.match(/not permitted/g)).toHaveLength(2);
}, 30_000);

test('what is no device is none, however its path is written', async () => {
  for (const device of ['/etc/passwd', '/dev/../etc/passwd', '/proc/self/status', '/']) {
    const r = await d.docker(['run', '--rm', ...none, '--device', `${device}:/dev/xx`, IMG, 'true']);
    expect([device, r.code === 0]).toEqual([device, false]);
  }
  for (const id of ['../../etc/passwd', '/etc/cdi/x=y', 'vendor.com/class=../x']) {
    const made = await d.request('POST', '/v1.47/containers/create', {
      Image: IMG,
      HostConfig: { NetworkMode: 'none', DeviceRequests: [{ Driver: 'cdi', DeviceIDs: [id] }] },
    });
    const container = Reflect.get(Object(made.body), 'Id') as string;
    const started = await d.request('POST', `/v1.47/containers/${container}/start`);
    expect([id, started.status]).toEqual([id, 400]);
    await d.must(['rm', container]);
  }
}, 30_000);

test('neither labels of an image nor annotations give a container devices', async () => {
  fs.writeFileSync(
    path.join(specs, 'x.json'),
    JSON.stringify({
      cdiVersion: '0.6.0',
      kind: 'vendor.com/class',
      devices: [{ name: 'one', containerEdits: { env: ['SMUGGLED=1'] } }],
    }),
  );
  const label = { 'cdi.k8s.io/x': 'vendor.com/class=one' };
  await using made = await hostile('labels', { config: { Labels: label, Env: ['NVIDIA_VISIBLE_DEVICES=all'] } });
  const annotated = ['--annotation', 'cdi.k8s.io/x=vendor.com/class=one', '-l', 'cdi.k8s.io/x=vendor.com/class=one'];
  const r = await d.docker(['run', '--rm', ...none, ...annotated, made.image, 'sh', '-c', 'echo "[$SMUGGLED]"']);
  expect(r.stdout).toBe('[]\n');
}, 30_000);

test('an exec is the user that was asked for (CVE-2026-30892)', async () => {
  await d.must(['run', '-d', '--name', 'who', ...none, IMG, 'sleep', '100']);
  for (const user of ['1', '1000', '65534']) expect(await d.must(['exec', '-u', user, 'who', 'id', '-u'])).toBe(user);
  for (const user of ['01x', '1 ', '+1', '1e0']) {
    const r = await d.docker(['exec', '-u', user, 'who', 'id', '-u']);
    expect([user, r.code === 0, /^\d+$/m.test(r.stdout)]).toEqual([user, false, false]);
  }
  await d.must(['rm', '-f', 'who']);
}, 30_000);
