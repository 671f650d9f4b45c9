/** COPY, ADD of local files and WORKDIR: files that the engine itself puts into a new snapshot. */
import { randomBytes } from 'node:crypto';
import type { Standing } from '#layer/snapshots.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import type { BuildSession } from '../session.ts';

/** A new snapshot above `on`, filled by `work`, which gets its root. */
export async function makeSnapshot(
  session: Pick<BuildSession, 'layers'>,
  on: Standing,
  work: (root: number) => Promise<void>,
): Promise<string> {
  const { layers } = session;
  const id = randomBytes(32).toString('hex');
  const layer = await layers.createReadWrite(id, on.base, { snapshot: on.snapshot, ofBuild: true });
  try {
    {
      using mount = layer.mount();
      await work(mount.fd);
    }
    layers.sealReadWrite(id);
    failpoint('build.step-sealed');
    return id;
  } catch (error) {
    await layers.releaseReadWrite(id);
    throw error;
  }
}
