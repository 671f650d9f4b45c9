/**
 * Layers whose archives were dropped (`images: keep-blobs`): they are unpacked here, and their archives lie in a registry
 * that they were pulled from or pushed to. Whoever needs one again (push elsewhere, save) has it fetched from there, or
 * made of the layer's files where no registry gives it.
 */
import * as fs from 'node:fs';
import type { ContentLease } from '#content/leases.ts';
import { kindOf, messageOf, systemError } from '#errdefs/errors.ts';
import { packAbsent } from '#image/absent-blobs.ts';
import type { ImageStore } from '#image/image-store.ts';
import type { Layer } from '#layer/records.ts';
import { anonymous, type Credentials } from '#registry/credentials.ts';
import type { RegistryClient } from '#registry/registry-client.ts';
import type { BlobSources } from './blob-sources.ts';
import type { LayerTransfers } from './layer-transfers.ts';

export interface BringMeans {
  readonly registry: RegistryClient;
  readonly images: ImageStore;
  readonly transfers: LayerTransfers;
  readonly sources: BlobSources;
}

export interface BringOptions {
  readonly lease: ContentLease;
  /** Of one registry; others are asked without. */
  readonly login?: { readonly domain: string; readonly credentials: Credentials };
  readonly signal: AbortSignal | undefined;
}

/** The layers of these images whose archives are not here, each once. */
export function droppedLayers(
  images: ImageStore,
  of: readonly { readonly chainId: Layer['chainId'] | undefined }[],
): Layer[] {
  const missing = new Map<string, Layer>();
  for (const { chainId } of of) {
    for (const layer of images.layers.chain(chainId)) {
      if (!images.content.has(layer.blob.digest)) missing.set(layer.blob.digest, layer);
    }
  }
  return [...missing.values()];
}

/** Afterwards all of them are in the content store, named by the lease. Errors: system naming the registries; cancelled. */
export async function bringBlobs(means: BringMeans, layers: readonly Layer[], options: BringOptions): Promise<void> {
  const outcomes = await Promise.allSettled(layers.map((layer) => bringOne(means, layer, options)));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

async function bringOne(
  { registry, images, transfers, sources }: BringMeans,
  layer: Layer,
  { lease, login, signal }: BringOptions,
): Promise<void> {
  const { diffId, blob } = layer;
  const { digest, size } = blob;
  const reasons: string[] = [];
  const places = sources.all(digest);
  // A build has measured it and written none: its files say it.
  if (places.length === 0 && blob.compression === 'plain') return await packAbsent(images, [layer], lease, signal);
  for (const name of places) {
    const slash = name.indexOf('/');
    const [domain, path] = [name.slice(0, slash), name.slice(slash + 1)];
    const credentials = login?.domain === domain ? login.credentials : anonymous;
    const repository = await registry.repository(domain, path, { credentials, signal });
    const sessions = repository.sessions('pull');
    try {
      return await transfers.bring({ key: '', blob: { path, digest, size }, repository, sessions }, lease, signal);
    } catch (error) {
      if (signal?.aborted === true) throw error;
      // Without a password a registry may only not want to say that it has it.
      if (kindOf(error) === 'not-found' && credentials !== anonymous) sources.forget(name, digest);
      reasons.push(`${name}: ${messageOf(error)}`);
    }
  }
  if (await assembleOne(images, layer, lease, signal)) return;
  const why = reasons.length === 0 ? 'no registry is known to have it' : reasons.join('; ');
  throw systemError(`the archive of layer ${diffId} is not kept here and cannot be fetched again: ${why}`);
}

/** No registry gives it: the tar itself is made of the layer's files, under the digest that it has uncompressed. */
async function assembleOne(
  { content, layers }: ImageStore,
  layer: Layer,
  lease: ContentLease,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  lease.add(layer.diffId);
  if (content.has(layer.diffId)) return true;
  using scratch = content.scratch();
  if (!(await layers.assemble(layer, scratch.path, signal))) return false;
  const handle = await fs.promises.open(scratch.path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  await content.keep([{ file: scratch.path, digest: layer.diffId }], lease);
  return true;
}

/** For what is to be sent compressed: layers whose tar was made again have it as their archive from now on. */
export async function recordAssembled({ content, layers }: ImageStore, stack: readonly Layer[]): Promise<void> {
  for (const { blob, diffId, tarSize } of stack) {
    if (content.has(blob.digest) || !content.has(diffId)) continue;
    await layers.replaceBlob(blob.digest, { digest: diffId, size: tarSize, compression: 'plain' });
  }
}
