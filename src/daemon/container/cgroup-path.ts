/** Where a container's group lies: below our parent, the daemon's `cgroup-parent` or the container's own. */
import * as path from 'node:path/posix';
import type { HostConfig } from '#api/types/host-config.ts';
import type { ContainerRecord } from '#container/record.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { allowRealtime } from '#libcontainer/cgroups/realtime.ts';
import { sliceParent, slicePath } from '#libcontainer/cgroups/slices.ts';
import { NATIVE_RUNTIME } from '../runtimes.ts';
import type { Services } from '../services.ts';

type Wanted = Pick<Services, 'isolation' | 'settings'>;

/** Errors: invalid-parameter, not-implemented. */
export function checkCgroupParent(services: Wanted, asked: string): void {
  if (asked === '' || !services.isolation.cgroups.systemd) return;
  if (asked.length <= '.slice'.length || !asked.endsWith('.slice')) {
    throw invalidParameter('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"');
  }
  slicePath(asked);
  // Each hierarchy of v1 would have to be joined by hand, beside systemd.
  if (services.isolation.cgroups.version === 1) {
    throw notImplemented(`CgroupParent "${asked}" is not supported on cgroup v1: a slice of systemd`);
  }
}

/** Below the mount point of each hierarchy. A relative parent, or one with '..', begins at the root, as in dockerd. */
function cgroupParentOf(services: Wanted, host: Pick<HostConfig, 'CgroupParent' | 'Runtime'>): string {
  const asked = host.CgroupParent === '' ? services.settings.containerDefaults.cgroupParent : host.CgroupParent;
  const { cgroupParent, cgroups } = services.isolation;
  if (asked === '') return cgroupParent;
  // A directory in a slice that systemd does not know of loses its controllers at the next daemon-reload.
  if (!cgroups.systemd || !asked.endsWith('.slice')) return path.resolve('/', asked);
  const runtime = host.Runtime ?? services.settings.defaultRuntime;
  return sliceParent(cgroupParent, asked, runtime === NATIVE_RUNTIME ? '' : runtime);
}

export function cgroupPathOf(services: Wanted, record: Pick<ContainerRecord, 'id' | 'hostConfig'>): string {
  return path.join(cgroupParentOf(services, record.hostConfig), record.id);
}

/** Every parent that a group of ours may be found below. */
export function cgroupParents(services: Wanted & Pick<Services, 'containers'>): string[] {
  const { cgroupParent } = services.isolation;
  const asked = services.containers.everything().map((record) => cgroupParentOf(services, record.hostConfig));
  return [...new Set([cgroupParent, cgroupParentOf(services, { CgroupParent: '' }), ...asked])];
}

/** cgroup v1 gives a group real-time runtime only out of its parent's: the daemon keys say how much those get. */
export function giveRealtime(services: Wanted, record: Pick<ContainerRecord, 'hostConfig'>): void {
  const { CpuRealtimeRuntime: runtime, CpuRealtimePeriod: period } = record.hostConfig;
  if (runtime === 0 && period === 0) return;
  const { realtimePeriodUs: periodUs, realtimeRuntimeUs: runtimeUs } = services.settings.containerDefaults;
  const { cgroups } = services.isolation;
  if (cgroups.version === 1)
    allowRealtime(cgroups, cgroupParentOf(services, record.hostConfig), { periodUs, runtimeUs });
}
