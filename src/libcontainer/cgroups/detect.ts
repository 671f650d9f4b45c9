/**
 * Which cgroup hierarchies this host has and where they are mounted. Three kinds: `v1` (one mount per controller),
 * `hybrid` (v1 controllers and a cgroup2 mount beside them, which we leave alone) and `v2`. Nothing is made here; on a
 * v2 host no v1 path is ever touched, since mkdir there would make a stray group.
 */
import { systemError } from '#errdefs/errors.ts';
import { exists, readText } from '#sys/host-files.ts';

/** v1 controllers that we use. The order is the order of joining: freezer last, so that nothing joins frozen. */
export const v1Controllers = [
  'cpu',
  'cpuacct',
  'cpuset',
  'memory',
  'devices',
  'blkio',
  'pids',
  'hugetlb',
  'net_cls',
  'net_prio',
  'perf_event',
  'freezer',
] as const;
export type V1Controller = (typeof v1Controllers)[number];

/** One mounted v1 hierarchy; several controllers may share it (`cpu,cpuacct`). */
export interface V1Hierarchy {
  readonly mountPoint: string;
  readonly controllers: readonly V1Controller[];
}

export interface CgroupV1Host {
  readonly version: 1;
  /** A cgroup2 mount stands beside the v1 ones. */
  readonly hybrid: boolean;
  readonly systemd: boolean;
  readonly hierarchies: readonly V1Hierarchy[];
  /** Where `name=systemd` is mounted: without a controller, for service managers to sort their processes by. */
  readonly named?: string;
}

export interface CgroupV2Host {
  readonly version: 2;
  readonly systemd: boolean;
  readonly mountPoint: string;
  readonly controllers: readonly string[];
}

export type CgroupHost = CgroupV1Host | CgroupV2Host;

interface CgroupMount {
  readonly mountPoint: string;
  readonly type: 'cgroup' | 'cgroup2';
  readonly options: readonly string[];
}

const unescape = (text: string): string =>
  !text.includes('\\')
    ? text
    : text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));

/** The cgroup mounts in the text of /proc/self/mountinfo, in its order; of two on one place the later covers. */
export function cgroupMounts(mountinfo: string): CgroupMount[] {
  const byPlace = new Map<string, CgroupMount>();
  for (const line of mountinfo.split('\n')) {
    const [front = '', back] = line.split(' - ');
    if (back === undefined) continue;
    const mountPoint = unescape(front.split(' ')[4] ?? '');
    const [type, , options = ''] = back.split(' ');
    byPlace.delete(mountPoint);
    if (type === 'cgroup' || type === 'cgroup2') {
      byPlace.set(mountPoint, { mountPoint, type, options: options.split(',') });
    }
  }
  return [...byPlace.values()];
}

/** What the mounts mean. `controllersOf` reads `cgroup.controllers` of a cgroup2 mount. */
export function hostOf(
  mounts: readonly CgroupMount[],
  systemd: boolean,
  controllersOf: (mountPoint: string) => readonly string[],
): CgroupHost {
  const hierarchies: V1Hierarchy[] = [];
  for (const mount of mounts) {
    if (mount.type !== 'cgroup') continue;
    const controllers = v1Controllers.filter((name) => mount.options.includes(name));
    const known = hierarchies.some((h) => h.controllers.some((name) => controllers.includes(name)));
    if (controllers.length > 0 && !known) hierarchies.push({ mountPoint: mount.mountPoint, controllers });
  }
  const unified = mounts.find((mount) => mount.type === 'cgroup2');
  if (hierarchies.length > 0) {
    const rank = (h: V1Hierarchy) => Math.max(...h.controllers.map((name) => v1Controllers.indexOf(name)));
    hierarchies.sort((a, b) => rank(a) - rank(b));
    const named = mounts.find((mount) => mount.type === 'cgroup' && mount.options.includes('name=systemd'))?.mountPoint;
    const beside = named === undefined ? {} : { named };
    return { version: 1, hybrid: unified !== undefined, systemd, hierarchies, ...beside };
  }
  if (unified === undefined) throw systemError('Cannot use cgroups: no cgroup hierarchy is mounted');
  return { version: 2, systemd, mountPoint: unified.mountPoint, controllers: controllersOf(unified.mountPoint) };
}

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');

/** Looks at this host. systemd is the service manager exactly when /run/systemd/system exists (sd_booted(3)). */
export function detectCgroups(): CgroupHost {
  const mounts = cgroupMounts(readText('/proc/self/mountinfo'));
  return hostOf(mounts, exists('/run/systemd/system'), (mountPoint) =>
    words(readText(`${mountPoint}/cgroup.controllers`)),
  );
}

/** The mount point of a v1 controller. */
export function v1MountOf(host: CgroupV1Host, controller: V1Controller): string | undefined {
  return host.hierarchies.find((h) => h.controllers.includes(controller))?.mountPoint;
}
