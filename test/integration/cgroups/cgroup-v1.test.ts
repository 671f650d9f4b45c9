/**
 * A group on this host's own hierarchies, with real processes in it. Runs on v1 and hybrid hosts; on v2 hosts the same
 * is asserted by cgroup-v2.test.ts. The parent has a name of its own and is removed at the end.
 */
import { afterAll, describe, expect, test } from 'bun:test';
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import type { Subprocess } from 'bun';
import type { Cgroup } from '#libcontainer/cgroups/cgroup.ts';
import { createCgroup, openCgroup } from '#libcontainer/cgroups/cgroups.ts';
import { detectCgroups, v1MountOf } from '#libcontainer/cgroups/detect.ts';
import { containerPath, planLayout, removeLayout } from '#libcontainer/cgroups/layout.ts';
import type { Resources } from '#libcontainer/spec.ts';

const host = detectCgroups();
const suffix = process.pid.toString(16).padStart(6, '0').slice(-6);
const layout = planLayout({ host, suffix });
const MIB = 1 << 20;

afterAll(() => removeLayout(layout));

/** A process that joins the group as a container's does (it writes "0" itself) and then runs `script`. */
function spawnIn(group: Cgroup, script: string): Subprocess<'ignore', 'pipe', 'pipe'> {
  const join = group.join();
  const files = join.version === 1 ? join.tasks : [`${join.directory}/cgroup.procs`];
  const joining = files.map((file) => `echo 0 > ${file}`).join(' && ');
  return Bun.spawn(['/bin/sh', '-c', `${joining} && { ${script}; }`], { stdio: ['ignore', 'pipe', 'pipe'] });
}

async function inGroup(resources: Resources, use: (group: Cgroup) => Promise<void>): Promise<void> {
  const group = createCgroup({ host, path: containerPath(layout, `t${performance.now().toFixed(3)}`), resources });
  try {
    await use(group);
  } finally {
    await group.remove();
  }
  for (const { directory } of group.directories()) expect(existsSync(directory)).toBe(false);
}

describe.if(host.version === 1)('cgroup v1', () => {
  const fileOf = (group: Cgroup, controller: 'memory' | 'cpu' | 'pids' | 'cpuset' | 'devices', file: string) =>
    host.version === 1
      ? readFileSync(`${v1MountOf(host, controller)}${group.path}/${file}`, 'utf8').trimEnd()
      : 'not a v1 host';

  test('limits arrive in their files', async () => {
    const resources = {
      memory: { limit: 64 * MIB, swap: 64 * MIB, reservation: 32 * MIB, swappiness: 10 },
      cpu: { shares: 512, quota: 50_000, period: 100_000, cpus: '0' },
      pids: { limit: 20 },
    };
    await inGroup(resources, async (group) => {
      expect(fileOf(group, 'memory', 'memory.limit_in_bytes')).toBe(String(64 * MIB));
      expect(fileOf(group, 'memory', 'memory.memsw.limit_in_bytes')).toBe(String(64 * MIB));
      expect(fileOf(group, 'memory', 'memory.soft_limit_in_bytes')).toBe(String(32 * MIB));
      expect(fileOf(group, 'memory', 'memory.swappiness')).toBe('10');
      expect(fileOf(group, 'cpu', 'cpu.shares')).toBe('512');
      expect(fileOf(group, 'cpu', 'cpu.cfs_quota_us')).toBe('50000');
      expect(fileOf(group, 'cpuset', 'cpuset.cpus')).toBe('0');
      expect(fileOf(group, 'pids', 'pids.max')).toBe('20');
      // Growing both at once needs swap first, shrinking memory first.
      group.apply({ memory: { limit: 128 * MIB, swap: 256 * MIB } });
      expect(fileOf(group, 'memory', 'memory.memsw.limit_in_bytes')).toBe(String(256 * MIB));
      group.apply({ memory: { limit: 32 * MIB, swap: 32 * MIB } });
      expect(fileOf(group, 'memory', 'memory.memsw.limit_in_bytes')).toBe(String(32 * MIB));
    });
  });

  test('processes are counted, frozen, thawed and killed by remove', async () => {
    await inGroup({}, async (group) => {
      const child = spawnIn(group, 'sleep 100 & sleep 100; :');
      while (group.pids().length < 3) await Bun.sleep(2);
      expect(group.pids()).toContain(child.pid);
      await group.freeze();
      expect(group.frozen()).toBe(true);
      await group.thaw();
      expect(group.frozen()).toBe(false);
      const stats = group.stats();
      expect(stats.pids.current).toBe(3n);
      expect(stats.memory.usageBytes).toBeGreaterThan(0n);
      expect(stats.cpu.usageNs).toBeGreaterThan(0n);
      expect(stats.memory.stat['total_inactive_file']).toBeDefined();
      await group.freeze();
      await group.remove(); // also when frozen
      expect(await child.exited).toBe(137);
    });
  });

  test('devices are refused by rule, and a change is live', async () => {
    const deny = { allow: false, access: 'rwm' };
    const nullDevice = { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' };
    const zero = { allow: true, type: 'c', major: 1, minor: 5, access: 'r' };
    await inGroup({ devices: [deny, nullDevice] }, async (group) => {
      expect(fileOf(group, 'devices', 'devices.list')).toBe('c 1:3 rwm');
      const refused = spawnIn(group, 'head -c 1 /dev/zero');
      expect(await refused.exited).not.toBe(0);
      expect(await new Response(refused.stderr).text()).toContain('not permitted');
      group.apply({ devices: [deny, zero] });
      expect(fileOf(group, 'devices', 'devices.list')).toBe('c 1:5 r');
      expect(await spawnIn(group, 'head -c 1 /dev/zero').exited).toBe(0);
    });
  });

  test('an OOM is told and counted', async () => {
    await inGroup({ memory: { limit: 16 * MIB, swap: 16 * MIB } }, async (group) => {
      const told = Promise.withResolvers<undefined>();
      using _ = group.watchOom(() => told.resolve(undefined));
      const child = spawnIn(group, 'exec head -c 64000000 /dev/zero | tail > /dev/null');
      await told.promise;
      await child.exited;
      expect(group.oomKills()).toBeGreaterThan(0);
    });
  });

  test('a bad limit leaves nothing behind', () => {
    const path = containerPath(layout, 'bad');
    const create = () => createCgroup({ host, path, resources: { cpu: { cpus: '4096' } } });
    expect(create).toThrow('Cannot set cpu.cpus to "4096"');
    for (const { directory } of openCgroup(host, path).directories()) expect(existsSync(directory)).toBe(false);
    expect(() => createCgroup({ host, path, resources: { unified: { 'memory.high': '1' } } })).toThrow('cgroup v1');
  });

  test('a group with processes is not taken over', async () => {
    await inGroup({}, async (group) => {
      const child = spawnIn(group, 'sleep 100');
      while (group.pids().length < 2) await Bun.sleep(2);
      expect(() => createCgroup({ host, path: group.path, resources: {} })).toThrow('there are processes in it');
      child.kill('SIGKILL');
      await child.exited;
    });
  });

  test('making and removing is quick', async () => {
    const times: number[] = [];
    for (let i = 0; i < 20; i++) {
      const started = performance.now();
      const group = createCgroup({ host, path: containerPath(layout, `q${i}`), resources: { pids: { limit: 10 } } });
      times.push(performance.now() - started);
      await group.remove();
    }
    const median = times.sort((a, b) => a - b)[10] ?? 0;
    if (process.env['BERTH_PRINT'] !== undefined) appendFileSync('/dev/stderr', `create p50 ${median.toFixed(2)} ms\n`);
    expect(median).toBeLessThan(5);
  });
});
