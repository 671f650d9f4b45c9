/** What the kernel says of a container's limits, in the same words for both versions of cgroups. */
import * as fs from 'node:fs';
import { cpuWeightOfShares } from '#libcontainer/cgroups/convert.ts';
import type { TestDaemon } from '../../support/daemon.ts';

export const cgroupVersion = fs.existsSync('/sys/fs/cgroup/cgroup.controllers') ? 2 : 1;

export type Limit = 'memory' | 'memory+swap' | 'reservation' | 'quota' | 'shares' | 'cpus' | 'pids';

const v1Files: Readonly<Record<Limit, readonly [controller: string, file: string]>> = {
  memory: ['memory', 'memory.limit_in_bytes'],
  'memory+swap': ['memory', 'memory.memsw.limit_in_bytes'],
  reservation: ['memory', 'memory.soft_limit_in_bytes'],
  quota: ['cpu', 'cpu.cfs_quota_us'],
  shares: ['cpu', 'cpu.shares'],
  cpus: ['cpuset', 'cpuset.cpus'],
  pids: ['pids', 'pids.max'],
};
const V1_UNLIMITED = '9223372036854771712';

/** 'max' is no limit. Shares of version 2 are those that were asked for when they make the weight that is there. */
export async function limitOf(d: TestDaemon, name: string, limit: Limit, shares = 0): Promise<string> {
  const pid = await d.must(['inspect', '-f', '{{.State.Pid}}', name]);
  const lines = fs.readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n');
  if (cgroupVersion === 1) {
    const [controller, file] = v1Files[limit];
    const group = lines.find((line) => line.split(':')[1]?.split(',').includes(controller))?.split(':')[2] ?? '';
    // What the file says may begin above the mount.
    const path = `/sys/fs/cgroup/${controller}/${group.split('/').slice(-2).join('/')}/${file}`;
    const value = fs.readFileSync(path, 'utf8').trim();
    return value === V1_UNLIMITED || value === '-1' ? 'max' : value;
  }
  const directory = `/sys/fs/cgroup${lines.find((line) => line.startsWith('0::'))?.slice(3) ?? ''}`;
  const read = (file: string) => fs.readFileSync(`${directory}/${file}`, 'utf8').trim();
  const swapOf = (swap: string) => (swap === 'max' ? 'max' : String(Number(swap) + Number(read('memory.max'))));
  const weightOf = (weight: string) =>
    weight === String(cpuWeightOfShares(shares)) ? String(shares) : `weight ${weight}`;
  const readers: Readonly<Record<Limit, () => string>> = {
    memory: () => read('memory.max'),
    'memory+swap': () => swapOf(read('memory.swap.max')),
    reservation: () => read('memory.low'),
    quota: () => read('cpu.max').split(' ')[0] ?? '',
    shares: () => weightOf(read('cpu.weight')),
    cpus: () => read('cpuset.cpus'),
    pids: () => read('pids.max'),
  };
  return readers[limit]();
}
