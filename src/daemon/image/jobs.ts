/** Installs the jobs on images. */
import * as image from '#api/jobs/image.ts';
import { notImplemented } from '#errdefs/errors.ts';
import { loadImages } from '#image/load.ts';
import { progressTo } from '#image/progress.ts';
import type { Services } from '../services.ts';

export function installImageJobs(services: Services): void {
  const { engine, images } = services;
  engine.register(image.imageLoad, async ({ archive, quiet, progress }, { signal }) => {
    const loaded = await loadImages(images, { archive, quiet, tell: progressTo(progress), signal });
    for (const { id, names } of loaded) publishImageEvent(services, 'load', id, names[0] ?? id);
  });
  engine.register(image.imagePull, ({ image: name, tag }) => {
    const separator = tag.includes(':') ? '@' : ':';
    const full = tag === '' ? name : `${name}${separator}${tag}`;
    throw notImplemented(`Cannot pull "${full}": pulling from a registry is not there yet`);
  });
}

function publishImageEvent(services: Services, action: string, id: string, name: string): void {
  services.events.publish({ type: 'image', action, id, attributes: { name } });
}
