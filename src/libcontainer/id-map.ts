/** Ids of a user namespace and what they are on the host. Without mappings both are the same. */
import { invalidParameter } from '#errdefs/errors.ts';
import type { OwnedFd } from '#sys/files.ts';
import { userNamespace } from '#sys/user-namespace.ts';
import type { IdMapping } from './spec.ts';

/** Host id of a container's id. Errors: invalid-parameter when no mapping has it. */
export function hostId(mappings: readonly IdMapping[] | undefined, id: number, what: string): number {
  if (mappings === undefined || mappings.length === 0) return id;
  const range = mappings.find((m) => id >= m.containerID && id < m.containerID + m.size);
  if (range === undefined) throw invalidParameter(`${what} ${id} is not mapped in the user namespace`);
  return range.hostID + (id - range.containerID);
}

/** Text of /proc/PID/uid_map and gid_map. */
export function idMapText(mappings: readonly IdMapping[]): string {
  return mappings.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join('');
}

/** Whose files are what libcontainer makes for a container, and how its ids are translated. */
export interface IdMaps {
  uid(containerUid: number): number;
  gid(containerGid: number): number;
}

export function idMaps(uids: readonly IdMapping[] | undefined, gids: readonly IdMapping[] | undefined): IdMaps {
  return {
    uid: (id) => hostId(uids, id, 'uid'),
    gid: (id) => hostId(gids, id, 'gid'),
  };
}

/**
 * Id of the file system that stands for the host's root where a mount has the maps of a container: files that the host's
 * root makes through it (overlayfs its whiteouts, `cp` before it gives them their owner) need one. Nobody has it.
 */
const HOST_ROOT_ON_DISK = 0xffff_fffe;

/** Maps of a mount that serves a container with these: ids on the disk are those of inside. */
export function mountMaps(mappings: readonly IdMapping[]): readonly IdMapping[] {
  if (mappings.some(({ hostID }) => hostID === 0)) return mappings;
  return [...mappings, { containerID: HOST_ROOT_ON_DISK, hostID: 0, size: 1 }];
}

/** A user namespace that holds the maps of mounts. Errors: SysError (EPERM where the kernel refuses such maps). */
export function namespaceOfMaps(uids: readonly IdMapping[], gids: readonly IdMapping[]): OwnedFd {
  return userNamespace({ uids: idMapText(uids), gids: idMapText(gids) });
}
