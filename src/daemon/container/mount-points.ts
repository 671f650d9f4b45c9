/** A container's mounts as inspect and list show them. */
import type { MountPoint } from '#api/types/container.ts';
import type { ContainerRecord } from '#container/record.ts';

export function mountPointsOf(record: ContainerRecord): MountPoint[] {
  return record.mounts
    .filter((mount) => !mount.hidden)
    .map((mount) => ({
      Type: mount.type,
      ...nameOf(mount),
      Source: mount.source,
      Destination: mount.destination,
      ...(mount.type === 'volume' ? { Driver: mount.driver === '' ? 'local' : mount.driver } : {}),
      Mode: mount.mode,
      RW: !mount.readOnly,
      Propagation: mount.propagation,
    }));
}

/** An image mount has the image for its name, an artifact's the manifest. */
function nameOf(mount: ContainerRecord['mounts'][number]): { Name?: string } {
  if (mount.type === 'image' || mount.type === 'artifact') return { Name: mount.imageId };
  return mount.volume === '' ? {} : { Name: mount.volume };
}
