/** What a container's user namespace means for files that the engine mounts or makes for it. */
import type { UserNamespace } from '#container/user-namespace.ts';
import { systemError } from '#errdefs/errors.ts';
import { hostId, mountMaps, namespaceOfMaps } from '#libcontainer/id-map.ts';
import { isErrno } from '#sys/errno.ts';
import type { OwnedFd } from '#sys/files.ts';

/** A namespace with the maps of the container's own file system; close it when that is mounted. */
export function mountNamespaceOf(userns: UserNamespace | undefined): OwnedFd | undefined {
  if (userns === undefined) return undefined;
  try {
    return namespaceOfMaps(mountMaps(userns.uids), mountMaps(userns.gids));
  } catch (error) {
    if (!isErrno(error)) throw error;
    throw systemError('Cannot make a user namespace: does the kernel allow them (user.max_user_namespaces)?', {
      cause: error,
    });
  }
}

/** Host ids of the container's root. */
export function rootOf(userns: UserNamespace): { readonly uid: number; readonly gid: number } {
  return { uid: hostId(userns.uids, 0, 'uid'), gid: hostId(userns.gids, 0, 'gid') };
}
