/** Which artifacts containers have among their mounts. */
import type { ContainerRecord } from '#container/record.ts';

export function* mountedArtifacts(containers: Iterable<ContainerRecord>): Generator<string> {
  for (const { mounts } of containers) {
    for (const { type, imageId } of mounts) if (type === 'artifact') yield imageId;
  }
}
