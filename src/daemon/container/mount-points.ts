/** A container's mounts as inspect and list show them. */
import type { MountPoint } from '#api/types/container.ts';
import type { ContainerRecord } from '#container/record.ts';

export function mountPointsOf(record: ContainerRecord): MountPoint[] {
  return record.mounts
    .filter((mount) => !mount.hidden)
    .map((mount) => ({
      Type: mount.type,
      ...(mount.volume === '' ? {} : { Name: mount.volume }),
      Source: mount.source,
      Destination: mount.destination,
      ...(mount.type === 'volume' ? { Driver: 'local' } : {}),
      Mode: mount.mode,
      RW: !mount.readOnly,
      Propagation: mount.propagation,
    }));
}
