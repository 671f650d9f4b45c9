/** Where a cgroup comes from: made new with its limits, or opened again after a restart of the daemon. */
import { invalidParameter } from '#errdefs/errors.ts';
import type { Resources, Spec } from '#libcontainer/spec.ts';
import type { Cgroup } from './cgroup.ts';
import type { CgroupHost } from './detect.ts';
import { CgroupV1, createCgroupV1 } from './v1.ts';
import { CgroupV2, createCgroupV2 } from './v2.ts';

export interface CgroupRequest {
  readonly host: CgroupHost;
  /** Absolute, below the mount point of each hierarchy: `/berth/ID`. */
  readonly path: string;
  readonly resources: Resources;
  /** v1: a group in the hierarchy `name=systemd` as well. A container that may write its cgroups needs one. */
  readonly named?: boolean;
}

/**
 * Makes the group. Errors: invalid-parameter for a limit that the kernel or this version refuses (by its name); conflict
 * when the group holds processes or is frozen. A failure leaves nothing.
 */
export function createCgroup({ host, path, resources, named = false }: CgroupRequest): Cgroup {
  checkPath(path);
  return host.version === 1 ? createCgroupV1(host, path, resources, named) : createCgroupV2(host, path, resources);
}

/** Whether the container sees its cgroups as something to write to. */
export function hasWritableCgroups(spec: Pick<Spec, 'mounts'>): boolean {
  return (spec.mounts ?? []).some(({ type, options }) => type === 'cgroup' && options?.includes('ro') !== true);
}

/** The group at `path`, whether it exists or not. */
export function openCgroup(host: CgroupHost, path: string): Cgroup {
  checkPath(path);
  return host.version === 1 ? new CgroupV1(host, path) : new CgroupV2(host, path);
}

/** A path from outside must not leave the hierarchy nor name the root group. */
function checkPath(path: string): void {
  const parts = path.split('/').slice(1);
  const bad = !path.startsWith('/') || parts.some((part) => part === '' || part === '.' || part === '..');
  if (bad || path.length > 1024) throw invalidParameter(`Cannot use cgroup path ${JSON.stringify(path)}`);
}
