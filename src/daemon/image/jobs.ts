/** Installs the jobs on images, and tells of what they change. */
import * as image from '#api/jobs/image.ts';
import { isRunningOrRestarting } from '#container/state.ts';
import { notImplemented } from '#errdefs/errors.ts';
import { imageHistory } from '#image/history.ts';
import type { ImageStore } from '#image/image-store.ts';
import { importImage } from '#image/import.ts';
import { inspectImage } from '#image/inspect.ts';
import { listImages } from '#image/list.ts';
import { loadImages } from '#image/load.ts';
import { progressTo } from '#image/progress.ts';
import { type ImageUser, removeImage } from '#image/remove.ts';
import { saveImages } from '#image/save.ts';
import { tagImage } from '#image/tag.ts';
import type { Services } from '../services.ts';

export function installImageJobs(services: Services): void {
  const { engine, images } = services;
  engine.register(image.imageList, ({ all, sharedSize, filters }) =>
    withContainers(services, listImages(images, { all, sharedSize, filters })),
  );
  engine.register(image.imageInspect, (input) => inspectImage(images, input.image));
  engine.register(image.imageHistory, (input) => imageHistory(images, input.image));
  engine.register(image.imageTag, ({ image: source, repo, tag }) => {
    const { id, name } = tagImage(images, source, repo, tag);
    publish(services, 'tag', id, name);
  });
  engine.register(image.imageRemove, ({ image: name, force, noprune }) =>
    removeImage(images, {
      image: name,
      force,
      noprune,
      containersUsing: (id) => usersOf(services, id),
      collect: () => services.graph.collect(),
      onUntag: (id) => publish(services, 'untag', id, id),
      onDelete: (id) => publish(services, 'delete', id, id),
    }),
  );
  installTransfers(services, images);
}

function installTransfers(services: Services, images: ImageStore): void {
  const { engine } = services;
  engine.register(image.imageLoad, async ({ archive, quiet, progress }, { signal }) => {
    const loaded = await loadImages(images, { archive, quiet, tell: progressTo(progress), signal });
    for (const { id, names } of loaded) publish(services, 'load', id, names[0] ?? id);
  });
  engine.register(image.imageSave, async ({ names, output }, { signal }) => {
    await saveImages(images, { names, write: (bytes) => output.write(bytes), signal });
    for (const name of names) publish(services, 'save', images.resolve(name).id, name);
  });
  engine.register(image.imageImport, async (input, { signal }) => {
    const id = await importImage(images, { ...input, tell: progressTo(input.progress), signal });
    publish(services, 'import', id, id);
  });
  engine.register(image.imagePull, ({ image: name, tag }) => {
    const separator = tag.includes(':') ? '@' : ':';
    const full = tag === '' ? name : `${name}${separator}${tag}`;
    throw notImplemented(`Cannot pull "${full}": pulling from a registry is not there yet`);
  });
}

function usersOf(services: Services, imageId: string): ImageUser[] {
  return services.containers
    .everything()
    .filter((record) => record.imageId === imageId || record.mounts.some((mount) => mount.imageId === imageId))
    .map((record) => ({ id: record.id, running: isRunningOrRestarting(record.state) }));
}

/** How many containers each image has; the image store knows of none. */
function withContainers<T extends { Id: string; Containers: number }>(services: Services, rows: T[]): T[] {
  if (rows.every((row) => row.Containers === -1)) return rows;
  return rows.map((row) => ({ ...row, Containers: usersOf(services, row.Id).length }));
}

function publish(services: Services, action: string, id: string, name: string): void {
  services.events.publish({ type: 'image', action, id, attributes: { name } });
}
