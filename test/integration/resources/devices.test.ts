/** Devices: by path with permissions, whole directories, cgroup rules, CDI (nodes, mounts, environment, hooks), GPUs. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { cgroupVersion } from './group.ts';

const IMG = 'berth.test/busybox:1';
const none = ['--network', 'none'];
let d: TestDaemon;
let specs: string;
beforeAll(async () => {
  specs = fs.mkdtempSync('/tmp/berth-cdi-');
  d = await TestDaemon.start({
    noBridge: true,
    args: ['--cdi-spec-dir', path.join(specs, 'etc'), '--cdi-spec-dir', path.join(specs, 'run')],
  });
}, 60_000);
afterAll(async () => {
  await d[Symbol.asyncDispose]();
  fs.rmSync(specs, { recursive: true });
}, 60_000);
beforeEach(() => {
  fs.rmSync(specs, { recursive: true, force: true });
  for (const name of ['etc', 'run', 'data']) fs.mkdirSync(path.join(specs, name), { recursive: true });
});

const inside = async (...args: string[]) => {
  const r = await d.docker(['run', '--rm', ...none, ...args]);
  return { code: r.code, text: (r.stdout + r.stderr).trim() };
};
const write = (file: string, content: unknown) =>
  fs.writeFileSync(path.join(specs, file), typeof content === 'string' ? content : JSON.stringify(content));
const spec = (kind: string, devices: unknown[], edits: unknown = {}) => ({
  cdiVersion: '0.6.0',
  kind,
  devices,
  containerEdits: edits,
});

/** A device that no container has by default; opening it does nothing. */
const DEVICE = '/dev/loop-control';

test('a device with its permissions, under another name', async () => {
  const readOnly = await inside(
    '--device',
    `${DEVICE}:/dev/xx:r`,
    IMG,
    'sh',
    '-c',
    ': < /dev/xx && echo read; : > /dev/xx',
  );
  expect(readOnly.code).not.toBe(0);
  expect(readOnly.text).toMatch(/^read\n.*not permitted/);
  const both = await inside(
    '--device',
    `${DEVICE}:/dev/xx:rw`,
    IMG,
    'sh',
    '-c',
    ': < /dev/xx; : > /dev/xx; ls -l /dev/xx',
  );
  expect(both.text).toMatch(/^c.* 10, 237 .*\/dev\/xx$/);
  // Not asked for: not there.
  expect((await inside(IMG, 'sh', '-c', 'mknod /tmp/l c 10 237 && cat /tmp/l')).text).toMatch(/not permitted/);
  expect((await inside('--device', '/dev/nosuch', IMG, 'true')).text).toContain(
    'error gathering device information while adding custom device "/dev/nosuch": no such file or directory',
  );
  expect((await inside('--device', '/etc', IMG, 'true')).text).toContain('"/etc": not a device node');
}, 30_000);

test('a directory of devices', async () => {
  const directory = path.join(specs, 'data/devices');
  fs.mkdirSync(path.join(directory, 'below'), { recursive: true });
  const made = Bun.spawnSync(['mknod', path.join(directory, 'a'), 'c', '1', '7']);
  expect(made.exitCode).toBe(0);
  Bun.spawnSync(['mknod', path.join(directory, 'below/b'), 'c', '1', '5']);
  const r = await inside(
    '--device',
    `${directory}:/dev/many:r`,
    IMG,
    'sh',
    '-c',
    'cd /dev/many; find . -type c | sort; head -c 3 below/b | wc -c',
  );
  expect(r).toEqual({ code: 0, text: './a\n./below/b\n3' });
}, 30_000);

test('a rule of the cgroup lets a node that is made later be used', async () => {
  const script = 'mknod /tmp/f c 10 237; cat /tmp/f 2>&1';
  expect((await inside(IMG, 'sh', '-c', script)).text).toContain('not permitted');
  // No such driver here, or a device: but not forbidden any more.
  expect((await inside('--device-cgroup-rule', 'c 10:237 rwm', IMG, 'sh', '-c', `${script}; true`)).text).not.toContain(
    'not permitted',
  );
  if (cgroupVersion === 2) return;
  const rules = ['grep', 'c 10:', '/sys/fs/cgroup/devices/devices.list'];
  expect((await inside('--device-cgroup-rule', 'c 10:* r', IMG, ...rules)).text).toBe('c 10:* r');
}, 30_000);

test('a CDI device of JSON: node, mount, environment, group', async () => {
  fs.writeFileSync(path.join(specs, 'data/lib'), 'library');
  write(
    'etc/vendor.json',
    spec(
      'vendor.com/class',
      [
        {
          name: 'one',
          containerEdits: {
            env: ['ONE=from-cdi'],
            deviceNodes: [{ path: '/dev/one', hostPath: DEVICE, permissions: 'r', fileMode: 0o600 }],
            mounts: [
              {
                hostPath: path.join(specs, 'data/lib'),
                containerPath: '/usr/lib/vendor.so',
                options: ['ro', 'nosuid', 'nodev', 'bind'],
              },
            ],
            additionalGids: [4321],
          },
        },
      ],
      { env: ['ALL=1'] },
    ),
  );
  const script = 'echo $ALL $ONE; stat -c %a /dev/one; cat /usr/lib/vendor.so; echo; id -G; : < /dev/one; : > /dev/one';
  const r = await inside('-e', 'ONE=own', '--device', 'vendor.com/class=one', IMG, 'sh', '-c', script);
  expect(r.text).toMatch(/^1 from-cdi\n600\nlibrary\n0 .*4321\n.*not permitted/);
  expect((await inside('--device', 'vendor.com/class=none', IMG, 'true')).text).toContain(
    'CDI device injection failed: unresolvable CDI devices vendor.com/class=none',
  );
  expect(await d.must(['info', '-f', '{{json .CDISpecDirs}}'])).toContain(path.join(specs, 'run'));
  const info = await d.request('GET', '/v1.51/info');
  expect(Reflect.get(Object(info.body), 'DiscoveredDevices')).toEqual([{ Source: 'cdi', ID: 'vendor.com/class=one' }]);
  const ours = await d.berth([
    'run',
    '--rm',
    ...none,
    '--device',
    'vendor.com/class=one',
    IMG,
    'sh',
    '-c',
    'echo $ONE',
  ]);
  expect(ours.stdout).toBe('from-cdi\n');
}, 30_000);

test('YAML of the later directory goes before; a broken file takes nothing with it', async () => {
  write('etc/a.json', spec('vendor.com/class', [{ name: 'x', containerEdits: { env: ['FROM=etc'] } }]));
  write('etc/broken.yaml', 'a: [');
  write(
    'run/b.yaml',
    'cdiVersion: "0.5.0"\nkind: vendor.com/class\ndevices:\n- name: x\n  containerEdits:\n    env:\n    - "FROM=run"\n',
  );
  expect((await inside('--device', 'vendor.com/class=x', IMG, 'sh', '-c', 'echo $FROM')).text).toBe('run');
  expect(d.log).toContain('a CDI specification cannot be used');
}, 30_000);

test('hooks run on the host with their own environment, in their order, and what they refuse does not start', async () => {
  const trace = path.join(specs, 'data/trace');
  const hook = path.join(specs, 'data/hook.sh');
  fs.writeFileSync(
    hook,
    `#!/bin/sh\nstate=$(cat)\nbundle=$(echo "$state" | sed 's/.*"bundle":"\\([^"]*\\)".*/\\1/')\necho "$1 LD=$LD_PRELOAD A=$A root=$(ls -d "$bundle/rootfs/bin" 2>/dev/null | wc -l) config=$(test -f "$bundle/config.json" && echo yes) status=$(echo "$state" | sed 's/.*"status":"\\([a-z]*\\)".*/\\1/')" >> ${trace}\n[ "$1" = createContainer ] && echo made > "$bundle/rootfs/made-by-hook"\nexit \${FAIL:-0}\n`,
    { mode: 0o755 },
  );
  const hookOf = (name: string, env: string[] = []) => ({
    hookName: name,
    path: hook,
    args: ['hook', name],
    env: ['A=1', 'PATH=/usr/bin:/bin', ...env],
  });
  const kinds = ['createRuntime', 'createContainer', 'poststart', 'poststop'];
  write(
    'etc/hooks.json',
    spec('vendor.com/hooks', [
      { name: 'all', containerEdits: { hooks: kinds.map((kind) => hookOf(kind)) } },
      { name: 'refuses', containerEdits: { hooks: [hookOf('createContainer', ['FAIL=3'])] } },
      {
        name: 'hangs',
        containerEdits: {
          hooks: [{ hookName: 'createRuntime', path: '/bin/sleep', args: ['sleep', '60'], timeout: 1 }],
        },
      },
      { name: 'missing', containerEdits: { hooks: [{ hookName: 'createRuntime', path: '/nosuch/hook' }] } },
    ]),
  );
  // The container's environment is not the hook's (CVE-2025-23266).
  const r = await inside('-e', 'LD_PRELOAD=/evil.so', '--device', 'vendor.com/hooks=all', IMG, 'cat', '/made-by-hook');
  expect(r.text).toBe('made');
  const told = () => fs.readFileSync(trace, 'utf8').trim().split('\n');
  // Who waits for a container is answered before its last hook has run.
  await eventually('the last hook has run', () => Promise.resolve(told().length === kinds.length));
  expect(told()).toEqual([
    'createRuntime LD= A=1 root=0 config=yes status=creating',
    // In the container's mount namespace its root is at its path.
    'createContainer LD= A=1 root=1 config=yes status=creating',
    'poststart LD= A=1 root=0 config=yes status=running',
    'poststop LD= A=1 root=0 config=yes status=stopped',
  ]);
  const refused = await inside('--device', 'vendor.com/hooks=refuses', IMG, 'true');
  expect(refused.code).not.toBe(0);
  expect(refused.text).toContain(`error running createContainer hook #0: "${hook}" ended with exit status 3`);
  expect((await inside('--device', 'vendor.com/hooks=hangs', IMG, 'true')).text).toContain('timed out after 1000 ms');
  expect((await inside('--device', 'vendor.com/hooks=missing', IMG, 'true')).text).toContain('/nosuch/hook');
  expect(fs.readdirSync(path.join(d.execRoot, 'hooks'))).toEqual([]);
}, 60_000);

test('poststop hooks are run by the next daemon when the container ended without one', async () => {
  const trace = path.join(specs, 'data/trace');
  write(
    'etc/hooks.json',
    spec('vendor.com/hooks', [
      {
        name: 'stop',
        containerEdits: { hooks: [{ hookName: 'poststop', path: '/bin/sh', args: ['sh', '-c', `cat > ${trace}`] }] },
      },
    ]),
  );
  await d.must(['run', '-d', '--name', 'stops', ...none, '--device', 'vendor.com/hooks=stop', IMG, 'sleep', '1000']);
  const pid = Number(await d.must(['inspect', '-f', '{{.State.Pid}}', 'stops']));
  await d.kill();
  process.kill(pid, 'SIGKILL');
  await d.launch();
  await d.must(['wait', 'stops']);
  await d.must(['rm', 'stops']);
  expect(JSON.parse(fs.readFileSync(trace, 'utf8'))).toMatchObject({ status: 'stopped' });
}, 60_000);

test("GPUs by the CDI specifications of their vendor; docker's clear words without", async () => {
  for (const run of [
    d.docker(['run', '--rm', ...none, '--gpus', 'all', IMG, 'true']),
    d.berth(['run', '--rm', ...none, '--gpus', 'all', IMG, 'true']),
  ]) {
    const r = await run;
    expect([r.code, r.stderr]).toEqual([
      125,
      expect.stringContaining('could not select device driver "" with capabilities: [[gpu]]') as never,
    ]);
  }
  write(
    'run/nvidia.yaml',
    'cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: "0"\n  containerEdits:\n    deviceNodes:\n    - path: /dev/nvidia0\n      type: c\n      major: 195\n      minor: 0\n- name: all\n  containerEdits:\n    env: [GPUS=all]\n',
  );
  expect((await inside('--gpus', 'all', IMG, 'sh', '-c', 'echo $GPUS')).text).toBe('all');
  expect((await inside('--gpus', '"device=0"', IMG, 'sh', '-c', 'ls -l /dev/nvidia0')).text).toMatch(
    /^crw-rw-rw- .*195, +0/,
  );
  expect((await d.berth(['run', '--rm', ...none, '--gpus', '1', IMG, 'ls', '/dev/nvidia0'])).stdout).toBe(
    '/dev/nvidia0\n',
  );
}, 30_000);
