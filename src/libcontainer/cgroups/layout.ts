/**
 * Where Berth's groups lie. Under systemd the monitor is in a scope of our own, `berth.slice/berth.scope`, delegated to
 * us, so that no restart or reload of services touches containers; on cgroup v2 their groups lie in it. Everywhere else
 * they lie below a parent `/berth` in each hierarchy. Daemons on other data roots carry a suffix of six hex digits.
 */
import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { invalidParameter } from '#errdefs/errors.ts';
import type { CgroupHost } from './detect.ts';
import { adoptIntoScope } from './systemd.ts';
import { makeGroup } from './tree.ts';
import { delegate } from './v2.ts';
import { codeOf, readIfThere, writeFile } from './write.ts';

export interface CgroupLayout {
  readonly host: CgroupHost;
  /** Parent of the containers' groups, below each mount point. */
  readonly parent: string;
  /** Group of the monitor: v2 only (a group with children may hold no processes). */
  readonly monitor: string | undefined;
  /** The unit that systemd makes for us. On v1 it holds the monitor only by name; limits are in `parent`. */
  readonly scope: string | undefined;
}

export interface LayoutRequest {
  readonly host: CgroupHost;
  /** Six hex digits for any but the default data root. */
  readonly suffix?: string;
}

/** Pure: only names. */
export function planLayout({ host, suffix }: LayoutRequest): CgroupLayout {
  if (suffix !== undefined && !/^[0-9a-f]{6}$/.test(suffix)) {
    throw invalidParameter(`Cannot use ${JSON.stringify(suffix)} as suffix of a cgroup: want six hex digits`);
  }
  const name = suffix === undefined ? 'berth' : `berth-${suffix}`;
  if (host.version === 2 && host.systemd) {
    // In names of slices a dash means "below": a suffix goes to the scope only.
    const parent = `/berth.slice/${name}.scope`;
    return { host, parent, monitor: `${parent}/monitor`, scope: `${name}.scope` };
  }
  const parent = `/${name}`;
  const scope = host.systemd ? `${name}.scope` : undefined;
  return { host, parent, monitor: host.version === 2 ? `${parent}/monitor` : undefined, scope };
}

/** The group of a container. */
export function containerPath(layout: CgroupLayout, id: string): string {
  return `${layout.parent}/${id}`;
}

/**
 * Makes the parents and moves the monitor (with its zygote) where it belongs. Idempotent; called after each connect to a
 * monitor, before the first container. On v1 without systemd the monitor stays where it is.
 */
export async function prepareLayout(layout: CgroupLayout, monitorPid: number): Promise<void> {
  const { host, monitor, scope } = layout;
  const pids = [monitorPid, ...childrenBeside(monitorPid)];
  // A scope of an earlier monitor may be there with its containers: on v2 the new one is written into it below.
  const isThere = host.version === 2 && existsSync(host.mountPoint + layout.parent);
  if (scope !== undefined && !isThere && !isIn(monitorPid, scope)) {
    // In its service's group the monitor, and every container with it, would be stopped with the daemon.
    await adoptIntoScope({ scope, slice: 'berth.slice', pids, before: 'berth.service' });
  }
  if (host.version === 1 || monitor === undefined) return;
  makeGroup(host.mountPoint + monitor, () => {});
  for (const pid of pids) writeFile(`${host.mountPoint}${monitor}/cgroup.procs`, String(pid));
  // Only now: a group with processes of its own cannot give controllers to its children.
  delegate(host.mountPoint, layout.parent);
}

const isIn = (pid: number, unit: string): boolean => groupsText(pid).includes(`/${unit}`);

const groupsText = (pid: number): string => readIfThere(`/proc/${pid}/cgroup`) ?? '';

/** Children of a process that are in the same groups: of a monitor its zygote, but no container. */
function childrenBeside(pid: number): number[] {
  const own = groupsText(pid);
  const tasks = readdirSync(`/proc/${pid}/task`);
  return tasks
    .flatMap((task) => (readIfThere(`/proc/${pid}/task/${task}/children`) ?? '').split(' '))
    .map(Number)
    .filter((child) => child > 0 && groupsText(child) === own);
}

/** Removes the parents when nothing is left in them (after `berth daemon` has stopped for good, in tests). */
export function removeLayout(layout: CgroupLayout): void {
  const { host } = layout;
  const mounts =
    host.version === 1 ? [...host.hierarchies.map((h) => h.mountPoint), host.named ?? []].flat() : [host.mountPoint];
  // The scope's own directory is systemd's to remove.
  const parent = layout.scope !== undefined && host.version === 2 ? undefined : layout.parent;
  for (const path of [layout.monitor, parent]) {
    if (path === undefined) continue;
    for (const mountPoint of mounts) {
      try {
        rmdirSync(mountPoint + path);
      } catch (error) {
        const code = codeOf(error);
        if (code !== 'ENOENT' && code !== 'EBUSY' && code !== 'ENOTEMPTY') throw error;
      }
    }
  }
}
