/** `diff`: what the container's layer has that its image has not. */
import type { ContainerChange } from '#api/types/container.ts';
import { systemError } from '#errdefs/errors.ts';
import type { Services } from '../services.ts';
import { engineMade } from './engine-made.ts';

export async function containerChanges(services: Services, container: string): Promise<ContainerChange[]> {
  const { id } = services.containers.resolve(container);
  // Its directories are walked: they have to stay.
  using _lease = await services.containers.run(id, () => services.files.leases.take(id));
  const layer = services.layers.readWrite(id);
  if (layer === undefined) throw systemError(`container ${id} has no read-write layer`);
  const made = engineMade(layer.directory());
  const changes = (await layer.changes()).filter(({ path, kind }) => kind === 2 || !made.has(path));
  return changes.map(({ path, kind }) => ({ Path: path, Kind: kind }));
}
