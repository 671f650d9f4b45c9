/** `:U` of mounts: before a start everything in them is given to the container's user, with the ids that it has on the disk. */
import { idOnDisk, mountMappings } from '#container/idmap-option.ts';
import type { ContainerRecord } from '#container/record.ts';
import type { MountSources } from '#container/spec/mounts.ts';
import { BerthError, kindOf, messageOf } from '#errdefs/errors.ts';
import { userInRoot } from '#libcontainer/process-plan.ts';
import { refuseHostDirectories } from '#pkg/archive/chown-tree.ts';
import type { ArchivePool } from '#pkg/archive/pool.ts';
import { open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { realPathOf } from '#sys/safe-path.ts';

/** `rootfs`: the container's root. Errors: invalid-parameter, not-found (its user). */
export async function chownMounts(
  archive: Pick<ArchivePool, 'chown'>,
  record: ContainerRecord,
  at: { readonly rootfs: number; readonly sources: MountSources },
  signal: AbortSignal,
): Promise<void> {
  const { userns } = record;
  const { uid, gid } = userInRoot(record.config.User, at.rootfs);
  for (const mount of record.mounts) {
    if (!mount.chown) continue;
    const maps = mountMappings(mount, userns);
    const owner = {
      uid: idOnDisk(uid, userns?.uids, maps.uidMappings, 'uid'),
      gid: idOnDisk(gid, userns?.gids, maps.gidMappings, 'gid'),
    };
    const source = at.sources.get(mount.destination);
    const path = source?.path ?? mount.source;
    try {
      using opened = source?.fd === undefined ? ownedFd(open(path, O.PATH)) : undefined;
      const fd = source?.fd ?? opened?.fd ?? -1;
      if (mount.type === 'bind') refuseHostDirectories(realPathOf(fd));
      await archive.chown(fd, owner, { signal });
    } catch (error) {
      const message = `cannot change the owners in "${path}" for "${mount.destination}": ${messageOf(error)}`;
      throw new BerthError(kindOf(error), message, { cause: error });
    }
  }
}
