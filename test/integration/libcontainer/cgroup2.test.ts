/**
 * cgroup v2's ways of a start and an exec (CLONE_INTO_CGROUP, cgroup2 mount, cgroup namespace), on whatever cgroup2 mount
 * the host has: on a hybrid host that is one without controllers, which is all that these ways need.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { cgroupMounts } from '#libcontainer/cgroups/detect.ts';
import { prepareExec } from '#libcontainer/exec.ts';
import { prepareStart, rootfsOfBundle } from '#libcontainer/start.ts';
import { close, open, pipe2, readAll, write } from '#sys/files.ts';
import { O, W } from '#sys/numbers.ts';
import { killByPidfd, waitid } from '#sys/processes.ts';
import { Bench, specOf } from './bench.ts';

const mount = cgroupMounts(fs.readFileSync('/proc/self/mountinfo', 'utf8')).find(({ type }) => type === 'cgroup2');
const name = `libcontainer-test2-${process.pid}`;
const directory = `${mount?.mountPoint ?? ''}/${name}`;
const group = {
  version: 2 as const,
  join: () => ({ version: 2 as const, directory }),
  directories: () => [{ mountPoint: mount?.mountPoint ?? '', directory, controllers: [] }],
};
const OPEN = Uint8Array.of(1);
let bench: Bench;
let nothing: number;

beforeAll(() => {
  bench = new Bench();
  nothing = open('/dev/null', O.RDWR);
  fs.mkdirSync(directory);
});
afterAll(async () => {
  fs.rmdirSync(directory);
  close(nothing);
  await bench[Symbol.asyncDispose]();
});

function start(args: readonly string[], own: boolean) {
  const namespaces = ['mount', 'pid', 'network', 'ipc', 'uts', ...(own ? (['cgroup'] as const) : [])] as const;
  const spec = specOf(args, { namespaces: [...namespaces] });
  const out = pipe2();
  using root = rootfsOfBundle(bench.rootfs);
  const stdio = { stdin: nothing, stdout: out.write, stderr: out.write };
  using prepared = prepareStart({ id: name, spec, rootfs: root.fd, stdio, cgroup: group, network: false });
  const launched = bench.launcher.launch({
    program: prepared.program,
    cloneFlags: prepared.cloneFlags,
    onGate: () => prepared.gates.exec.open((fd) => write(fd, OPEN)),
  });
  close(out.write);
  expect(launched.failed).toBeUndefined();
  return { ...launched, spec, out: out.read };
}

function end({ out, pidfd }: { out: number; pidfd: number }): string[] {
  const text = Buffer.from(readAll(out)).toString();
  close(out);
  waitid(W.P_PIDFD, pidfd, 0);
  close(pidfd);
  return text.trim().split('\n');
}

describe('cgroup v2', () => {
  test('the child is born in its group', () => {
    const lines = end(start(['sh', '-c', `grep ^0:: /proc/self/cgroup`], false));
    expect(lines).toEqual([`0::/${name}`]);
  });

  test('with a namespace it sees its group as the root, read-only', () => {
    const script = 'grep ^0:: /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x 2>&1';
    const lines = end(start(['sh', '-c', script], true));
    expect(lines.slice(0, 2)).toEqual(['0::/', '1']);
    expect(lines.at(-1)).toContain('Read-only file system');
  });

  test('an exec is born there too, and enters the namespace afterwards', () => {
    const container = start(['sleep', '60'], true);
    const { spec } = container;
    const out = pipe2();
    const base = spec.process ?? { cwd: '/', user: { uid: 0, gid: 0 } };
    using prepared = prepareExec({
      containerId: name,
      spec: { ...spec, process: { ...base, args: ['sh', '-c', 'grep ^0:: /proc/self/cgroup; ps | grep -c sleep'] } },
      container,
      stdio: { stdin: nothing, stdout: out.write, stderr: out.write },
      cgroup: group.join(),
    });
    const launched = bench.launcher.launch({
      program: prepared.program,
      cloneFlags: prepared.cloneFlags,
      onGate: () => {
        expect(fs.readFileSync(`${directory}/cgroup.procs`, 'utf8').trim().split('\n')).toHaveLength(2);
        prepared.gates.exec.open((fd) => write(fd, OPEN));
      },
    });
    close(out.write);
    expect(launched.failed).toBeUndefined();
    expect(end({ out: out.read, pidfd: launched.pidfd })[0]).toBe('0::/');
    waitid(W.P_PID, launched.second ?? 0, 0);
    killByPidfd(container.pidfd);
    end(container);
  });
});
