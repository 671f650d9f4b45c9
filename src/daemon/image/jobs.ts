/** Installs the jobs on images, and tells of what they change. */
import * as image from '#api/jobs/image.ts';
import type { ProgressMessage } from '#api/types/image.ts';
import type { ContentLease } from '#content/leases.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { imageHistory } from '#image/history.ts';
import type { ImageStore } from '#image/image-store.ts';
import { importImage, referenceOf } from '#image/import.ts';
import { inspectImage } from '#image/inspect.ts';
import { listImages } from '#image/list.ts';
import { loadImages } from '#image/load.ts';
import { progressTo } from '#image/progress.ts';
import { savedLayers, saveImages } from '#image/save.ts';
import { selectImages } from '#image/save-selection.ts';
import { tagImage } from '#image/tag.ts';
import { imagesOf, targetOf } from '#image/variants.ts';
import { familiarString } from '#reference/reference.ts';
import type { Services } from '../services.ts';
import { installDistributionJobs } from './distribution.ts';
import { publishImageEvent, removeNamed, usersOf } from './remove.ts';

export function installImageJobs(services: Services): void {
  const { engine, images } = services;
  const containersOf = (id: string): string[] => usersOf(services, id).map((user) => user.id);
  engine.register(image.imageList, ({ all, sharedSize, manifests, filters }) =>
    withContainers(
      services,
      listImages(images, { all, sharedSize, filters, manifests: manifests ? containersOf : undefined }),
    ),
  );
  engine.register(image.imageInspect, ({ image: name, platform, manifests }) =>
    inspectImage(images, name, { platform, manifests: manifests ? containersOf : undefined }),
  );
  engine.register(image.imageHistory, (input) => imageHistory(images, input.image, input.platform));
  engine.register(image.imageAttestations, async (input) => {
    const { attestationsOf } = await import('#image/attestations.ts');
    return attestationsOf(images, input);
  });
  engine.register(image.imageTag, async ({ image: source, repo, tag }) => {
    const { id, name } = await tagImage(images, source, repo, tag);
    publishImageEvent(services, 'tag', id, name);
  });
  engine.register(image.imageRemove, (input) => removeNamed(services, input));
  installTransfers(services, images);
  installDistributionJobs(services);
}

function installTransfers(services: Services, images: ImageStore): void {
  const { engine } = services;
  engine.register(image.imageLoad, async ({ progress, ...input }, { signal }) => {
    const loaded = await loadImages(images, { ...input, tell: progressTo(progress), signal });
    for (const { id } of loaded) publishImageEvent(services, 'load', id, id);
  });
  engine.register(image.imageSave, async ({ names, platforms, without, from, output }, { signal }) => {
    const write = (bytes: Uint8Array): Promise<void> => output.write(bytes);
    using _dropped = await bringDropped(services, names, signal);
    await saveImages(images, { names, platforms, without: new Set(without), from, write, signal });
    const saved = new Set(selectImages(images, names).map(({ image }) => image.id));
    for (const id of saved) publishImageEvent(services, 'save', id, id);
  });
  engine.register(image.imageLayers, async (input, { signal }) => {
    using _dropped = await bringDropped(services, input.names, signal);
    return savedLayers(images, input).map(({ digest, size }) => ({ Digest: digest, Size: size }));
  });
  engine.register(image.imageMissing, ({ digests }) => missingBlobs(images, digests));
  engine.register(image.imageImport, async ({ source, ...input }, { signal }) => {
    const tell = progressTo(input.progress);
    const archive = source === '-' ? input.archive : await archiveAt(source, tell, signal);
    const id = await importImage(images, { ...input, archive, tell, signal });
    const reference = referenceOf(input.repo, input.tag);
    if (reference !== undefined) publishImageEvent(services, 'tag', id, familiarString(reference));
    publishImageEvent(services, 'import', id, id);
  });
}

/** As dockerd: an address without a scheme is one of http. Errors: unavailable, invalid-parameter. */
async function archiveAt(
  source: string,
  tell: (message: ProgressMessage) => Promise<void>,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const address = source.includes('://') ? source : `http://${source}`;
  if (!/^https?:\/\/[^/]/.test(address)) throw invalidParameter(`invalid import source ${JSON.stringify(source)}`);
  const { openRemote } = await import('#builder/context/download.ts');
  const archive = await openRemote(address, signal);
  await tell({ status: `Downloading from ${address}` });
  return archive;
}

/** How many containers each image has; the image store knows of none. */
function withContainers<T extends { Id: string; Containers: number }>(services: Services, rows: T[]): T[] {
  if (rows.every((row) => row.Containers === -1)) return rows;
  return rows.map((row) => ({ ...row, Containers: usersOf(services, row.Id).length }));
}

/** Archives of layers that `keep-blobs` has let go come again, as far as these names need them, until it is disposed. */
async function bringDropped(
  { images, distribution }: Services,
  names: readonly string[],
  signal: AbortSignal,
): Promise<Disposable> {
  const wanted = selectImages(images, names).flatMap(({ image: selected, given }) => [
    selected,
    ...imagesOf(images, targetOf(images, given, selected)),
  ]);
  const isHere = wanted.every(({ chainId }) =>
    images.layers.chain(chainId).every(({ blob }) => images.content.has(blob.digest)),
  );
  using made = new DisposableStack();
  if (!isHere) {
    made.defer(() => images.content.collectSoon());
    const lease: ContentLease = made.use(images.content.lease({ purpose: 'what was dropped' }));
    await (await distribution()).bring(wanted, { lease, signal });
  }
  return made.move();
}

/** What is here is meant to be used by a load that follows, and must be here then. */
const HELD_FOR_LOAD_MS = 3600_000;

function missingBlobs(
  { content }: ImageStore,
  digests: readonly string[],
): { missing: string[]; begun: Map<string, number> } {
  const here = digests.filter((digest) => content.has(digest));
  if (here.length > 0) {
    const key = `transfer ${[...here].sort((a, b) => (a < b ? -1 : 1)).join(' ')}`;
    using lease = content.lease({ purpose: 'transfer', key, keepMs: HELD_FOR_LOAD_MS });
    for (const digest of here) lease.add(digest);
  }
  const missing = digests.filter((digest) => !content.has(digest));
  const begun = new Map<string, number>();
  for (const digest of missing) {
    const size = content.begun(digest);
    if (size > 0) begun.set(digest, size);
  }
  return { missing, begun };
}
