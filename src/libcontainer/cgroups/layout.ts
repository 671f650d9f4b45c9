/**
 * Where Berth's groups lie. cgroup v2 under systemd: a scope of our own, `berth.slice/berth.scope`, delegated to us and
 * holding the monitor, so that no restart or reload of services touches containers. Everywhere else: a parent `/berth`
 * in each hierarchy. Daemons on other data roots carry a suffix of six hex digits.
 */
import { existsSync, rmdirSync } from 'node:fs';
import { invalidParameter } from '#errdefs/errors.ts';
import type { CgroupHost } from './detect.ts';
import { adoptIntoScope } from './systemd.ts';
import { makeGroup } from './tree.ts';
import { delegate } from './v2.ts';
import { codeOf, writeFile } from './write.ts';

export interface CgroupLayout {
  readonly host: CgroupHost;
  /** Parent of the containers' groups, below each mount point. */
  readonly parent: string;
  /** Group of the monitor: v2 only (a group with children may hold no processes). */
  readonly monitor: string | undefined;
  /** The unit that systemd makes for us. */
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
  return { host, parent, monitor: host.version === 2 ? `${parent}/monitor` : undefined, scope: undefined };
}

/** The group of a container. */
export function containerPath(layout: CgroupLayout, id: string): string {
  return `${layout.parent}/${id}`;
}

/**
 * Makes the parents and moves the monitor where it belongs. Idempotent; called after each connect to a monitor, before
 * the first container. On v1 the monitor stays where it is.
 */
export async function prepareLayout(layout: CgroupLayout, monitorPid: number): Promise<void> {
  const { host, monitor, scope } = layout;
  if (host.version === 1 || monitor === undefined) return;
  const directory = host.mountPoint + monitor;
  if (scope !== undefined && !existsSync(host.mountPoint + layout.parent)) {
    await adoptIntoScope({ scope, slice: 'berth.slice', pid: monitorPid, before: 'berth.service' });
  }
  makeGroup(directory, () => {});
  writeFile(`${directory}/cgroup.procs`, String(monitorPid));
  // Only now: a group with processes of its own cannot give controllers to its children.
  delegate(host.mountPoint, layout.parent);
}

/** Removes the parents when nothing is left in them (after `berth daemon` has stopped for good, in tests). */
export function removeLayout(layout: CgroupLayout): void {
  const { host } = layout;
  const mounts = host.version === 1 ? host.hierarchies.map((h) => h.mountPoint) : [host.mountPoint];
  for (const path of [layout.monitor, layout.parent]) {
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
