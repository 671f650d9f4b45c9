/** Handlers of the jobs on volumes. What few ask for is loaded when it is asked for. */
import * as volume from '#api/jobs/volume.ts';
import type { Services } from '../services.ts';
import { createVolume, inspectVolume, listVolumes, removeVolume } from './volumes.ts';

export function installVolumeJobs(services: Services): void {
  const { engine } = services;
  engine.register(volume.volumeList, ({ filters }) => listVolumes(services, filters));
  engine.register(volume.volumeRemove, (input) => removeVolume(services, input.volume, input.force));
  engine.register(volume.volumeInspect, (input) => inspectVolume(services, input.volume, input.size));
  engine.register(volume.volumeCreate, (input) => createVolume(services, input));
  engine.register(volume.volumePrune, async (input, { signal }) => {
    const { pruneVolumes } = await import('./prune.ts');
    return pruneVolumes(services, input, signal);
  });
  const transfer = () => import('./transfer.ts');
  engine.register(volume.volumeExport, async (input, { signal }) =>
    (await transfer()).exportVolume(services, input, signal),
  );
  engine.register(volume.volumeImport, async (input, { signal }) =>
    (await transfer()).importVolume(services, input, signal),
  );
  engine.register(volume.volumeRename, async (input) =>
    (await transfer()).renameVolume(services, input.volume, input.name),
  );
  engine.register(volume.volumeClone, async (input, { signal }) =>
    (await transfer()).cloneVolume(services, input, signal),
  );
}
