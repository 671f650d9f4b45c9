/**
 * A v2 group with real processes, on any cgroup2 mount: on a hybrid host it has few controllers, then what needs one is
 * left out by asking `cgroup.controllers`. In the VM the same file runs with all of them.
 */
import { afterAll, describe, expect, test } from 'bun:test';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import type { Subprocess } from 'bun';
import type { Cgroup } from '#libcontainer/cgroups/cgroup.ts';
import { createCgroup, openCgroup } from '#libcontainer/cgroups/cgroups.ts';
import { cgroupMounts, type CgroupV2Host } from '#libcontainer/cgroups/detect.ts';
import { containerPath, planLayout, prepareLayout, removeLayout } from '#libcontainer/cgroups/layout.ts';
import type { Resources } from '#libcontainer/spec.ts';
import { CLONE, NR, W } from '#sys/numbers.ts';
import { Program } from '#sys/program.ts';
import { Launcher } from '#sys/zygote/launch.ts';
import { waitid } from '#sys/processes.ts';
import { close } from '#sys/files.ts';

const mount = cgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8')).find(({ type }) => type === 'cgroup2');
const mountPoint = mount?.mountPoint ?? '';
const controllers =
  mount === undefined ? [] : readFileSync(`${mountPoint}/cgroup.controllers`, 'utf8').trim().split(' ');
const host: CgroupV2Host = { version: 2, systemd: false, mountPoint, controllers };
const layout = planLayout({ host, suffix: process.pid.toString(16).padStart(6, '0').slice(-6) });
const MIB = 1 << 20;
const monitor = mount === undefined ? undefined : Bun.spawn(['/bin/sleep', '1000']);

afterAll(async () => {
  monitor?.kill('SIGKILL');
  await monitor?.exited;
  if (mount !== undefined) removeLayout(layout);
  if (mount !== undefined) expect(existsSync(mountPoint + layout.parent)).toBe(false);
});

function spawnIn(group: Cgroup, script: string): Subprocess<'ignore', 'pipe', 'pipe'> {
  const join = group.join();
  const directory = join.version === 2 ? join.directory : 'not a v2 group';
  return Bun.spawn(['/bin/sh', '-c', `echo 0 > ${directory}/cgroup.procs && { ${script}; }`], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

let count = 0;
async function inGroup(resources: Resources, use: (group: Cgroup) => Promise<void>): Promise<void> {
  const group = createCgroup({ host, path: containerPath(layout, `t${count++}`), resources });
  try {
    await use(group);
  } finally {
    await group.remove();
  }
  expect(existsSync(mountPoint + group.path)).toBe(false);
}

describe.if(mount !== undefined)('cgroup v2', () => {
  test('the parent holds the monitor in a group of its own and delegates everything', async () => {
    await prepareLayout(layout, monitor?.pid ?? 0);
    await prepareLayout(layout, monitor?.pid ?? 0);
    expect(readFileSync(`${mountPoint}${layout.monitor}/cgroup.procs`, 'utf8').trim()).toBe(String(monitor?.pid));
    const delegated = readFileSync(`${mountPoint}${layout.parent}/cgroup.subtree_control`, 'utf8').trim().split(' ');
    expect(delegated.toSorted()).toEqual(controllers.toSorted());
  });

  test('processes are counted, frozen, thawed and killed by remove', async () => {
    await inGroup({}, async (group) => {
      const child = spawnIn(group, 'sleep 100 & sleep 100; :');
      while (group.pids().length < 3) await Bun.sleep(2);
      await group.freeze();
      expect(group.frozen()).toBe(true);
      await group.thaw();
      expect(group.frozen()).toBe(false);
      expect(group.stats().version).toBe(2);
      await group.freeze();
      await group.remove(); // also when frozen
      expect(await child.exited).toBe(137);
    });
  });

  test('groups that a container made inside go along', async () => {
    await inGroup({}, async (group) => {
      const inner = `${mountPoint}${group.path}/a/b`;
      Bun.spawnSync(['mkdir', '-p', inner]);
      const child = Bun.spawn(['/bin/sh', '-c', `echo 0 > ${inner}/cgroup.procs && sleep 100`]);
      while (group.pids().length === 0) await Bun.sleep(2);
      await group.remove();
      expect(await child.exited).toBe(137);
    });
  });

  test('a child is cloned into it', async () => {
    using launcher = new Launcher();
    await inGroup({}, async (group) => {
      const join = group.join();
      const fd = openSync(join.version === 2 ? join.directory : '', 'r');
      const program = new Program();
      program.cloneIntoCgroup(fd);
      program.do('execve', NR.execve, '/bin/sleep', program.argv(['sleep', '0.05']), program.argv([]));
      const child = await launcher.launch(program, CLONE.NEWCGROUP);
      closeSync(fd);
      expect(group.pids()).toEqual([child.pid]);
      // Seen from inside, its group is the root.
      expect(readFileSync(`/proc/${child.pid}/cgroup`, 'utf8')).toContain(`0::${group.path}`);
      waitid(W.P_PIDFD, child.pidfd, 0);
      close(child.pidfd);
    });
  });

  test('a group with processes, or frozen, is not taken over', async () => {
    await inGroup({}, async (group) => {
      const again = () => createCgroup({ host, path: group.path, resources: {} });
      const child = spawnIn(group, 'exec sleep 100');
      while (group.pids().length < 1) await Bun.sleep(2);
      expect(again).toThrow('there are processes in it');
      child.kill('SIGKILL');
      await child.exited;
      writeFileSync(`${mountPoint}${group.path}/cgroup.freeze`, '1');
      expect(again).toThrow('it is frozen');
    });
  });

  test('what the kernel has no file for is refused by name, and leaves nothing', () => {
    const path = containerPath(layout, 'bad');
    const create = () => createCgroup({ host, path, resources: { unified: { 'memory.nonsense': '1' } } });
    expect(create).toThrow('Cannot set unified memory.nonsense to "1": not supported by this kernel');
    expect(existsSync(mountPoint + path)).toBe(false);
    expect(openCgroup(host, path).pids()).toEqual([]);
  });

  const full = ['cpu', 'memory', 'pids'].every((name) => controllers.includes(name));
  test.if(full)('limits, stats and OOM', async () => {
    const resources = {
      memory: { limit: 16 * MIB, swap: 16 * MIB, reservation: 8 * MIB },
      cpu: { shares: 512, quota: 50_000, period: 100_000 },
      pids: { limit: 20 },
    };
    await inGroup(resources, async (group) => {
      const file = (name: string) => readFileSync(`${mountPoint}${group.path}/${name}`, 'utf8').trim();
      expect(file('memory.max')).toBe(String(16 * MIB));
      expect(file('memory.low')).toBe(String(8 * MIB));
      expect(file('cpu.weight')).toBe('59');
      expect(file('cpu.max')).toBe('50000 100000');
      expect(file('pids.max')).toBe('20');
      const told = Promise.withResolvers<undefined>();
      using _ = group.watchOom(() => told.resolve(undefined));
      const child = spawnIn(group, 'exec head -c 64000000 /dev/zero | tail > /dev/null');
      await told.promise;
      await child.exited;
      expect(group.oomKills()).toBeGreaterThan(0);
      const stats = group.stats();
      expect(stats.memory.limitBytes).toBe(BigInt(16 * MIB));
      expect(stats.pids.limit).toBe(20n);
      expect(stats.cpu.usageNs).toBeGreaterThan(0n);
    });
  });
});
