/**
 * Layers of two directories: a snapshot that lies over another one shows that one's files, too. It is the snapshots'
 * records that say so, so they last as long as the layer; one that is no result of a build any more is retired.
 */
import type { GraphDriver } from '#graphdriver/driver.ts';
import type { Snapshot, Snapshots } from './snapshots.ts';

type IsLayer = (snapshot: string) => boolean;

/** A layer is made of its directory and another one. */
export function isOfPair(snapshots: Snapshots, { id, over }: Snapshot, isLayer: IsLayer): boolean {
  return snapshots.isUnder(id) || (over !== undefined && isLayer(id));
}

/** Those that nothing is made of any more. */
export async function removeRetired(snapshots: Snapshots, driver: GraphDriver, isLayer: IsLayer): Promise<void> {
  for (let progressed = true; progressed; ) {
    progressed = false;
    for (const snapshot of snapshots.list()) {
      const { id, retired } = snapshot;
      if (!retired || isOfPair(snapshots, snapshot, isLayer)) continue;
      if (snapshots.hasChildren(id) || snapshots.isHeld(id)) continue;
      snapshots.forget(id);
      if (!isLayer(id)) await driver.remove(id);
      progressed = true;
    }
  }
}
