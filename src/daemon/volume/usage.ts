/** How much a volume holds, and how many containers have it: for inspect, `system df` and what a prune has freed. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Volume, VolumeUsage } from '#api/types/volume.ts';
import { LOCAL_DRIVER } from '#volume/records.ts';
import type { Services } from '../services.ts';

const UNKNOWN = -1;

/** Size -1 for what lies with a plugin, or in a file system that options name: walking it could take for ever. */
export async function volumeUsage(services: Pick<Services, 'volumes'>, volume: Volume): Promise<VolumeUsage> {
  const known = volume.Driver === LOCAL_DRIVER && (volume.Options === null || volume.Options['type'] === undefined);
  return {
    Size: known ? await sizeOfTree(volume.Mountpoint) : UNKNOWN,
    RefCount: services.volumes.users(volume.Name).length,
  };
}

/** Bytes of the regular files below, one with several names once, as dockerd counts. What vanishes is not counted. */
export async function sizeOfTree(directory: string): Promise<number> {
  const linked = new Set<string>();
  let bytes = 0;
  const pending = [directory];
  for (let current = pending.pop(); current !== undefined; current = pending.pop()) {
    for (const entry of await fs.promises.readdir(current, { withFileTypes: true }).catch(() => [])) {
      const place = path.join(current, entry.name);
      if (entry.isDirectory()) pending.push(place);
      else if (entry.isFile()) {
        const status = await fs.promises.lstat(place).catch(() => undefined);
        if (status === undefined) continue;
        const key = `${status.dev}:${status.ino}`;
        if (status.nlink > 1 && linked.has(key)) continue;
        if (status.nlink > 1) linked.add(key);
        bytes += status.size;
      }
    }
  }
  return bytes;
}
