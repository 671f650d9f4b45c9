/**
 * `push`: an image's blobs, as far as the registry has them not, then its manifest. Blobs are mounted from repositories of
 * the same registry that are known to have them; what is uploaded goes in pieces that can be sent again. An index is
 * pushed whole when all its platforms are here.
 */
import { algorithmOf } from '#content/digest.ts';
import type { ContentStore } from '#content/content-store.ts';
import type { Platform } from '#content/descriptor.ts';
import type { ContentLease } from '#content/leases.ts';
import { invalidParameter, kindOf, messageOf, notFound, systemError } from '#errdefs/errors.ts';
import type { Image } from '#image/image.ts';
import type { ImageStore } from '#image/image-store.ts';
import { barMessage, type Tell } from '#image/progress.ts';
import { imagesOf } from '#image/variants.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import {
  canonicalName,
  familiarName,
  familiarString,
  parseDigest,
  type Reference,
  withDigest,
} from '#reference/reference.ts';
import type { Credentials } from '#registry/credentials.ts';
import { RegistryError } from '#registry/failures.ts';
import type { Repository, Session } from '#registry/registry-client.ts';
import { putManifest } from '#registry/uploads.ts';
import { bringBlobs, type BringMeans, droppedLayers, recordAssembled } from './bring-blobs.ts';
import { BlobPusher } from './push-blobs.ts';
import { keptManifests, makeManifest, type PushManifest } from './push-manifest.ts';
import { shortDigest } from './pull-progress.ts';
import { compressBlob } from './recompress.ts';
import { type WholeDocument, wholeIndex } from './whole-index.ts';

export interface PushMeans extends BringMeans {
  readonly content: ContentStore;
}

export interface PushInput {
  /** Without a tag: all tags of the repository. */
  readonly reference: Reference;
  readonly platform: Platform | undefined;
  readonly credentials: Credentials;
  readonly tell: Tell;
  readonly signal: AbortSignal | undefined;
}

const MANIFESTS_TRIED_MAX = 4;

/** Errors: not-found `An image does not exist locally with the tag: X`; the registry's; cancelled. */
export async function pushImage(means: PushMeans, input: PushInput): Promise<void> {
  const { reference, tell } = input;
  const name = familiarName(reference);
  if (reference.digest !== undefined) throw invalidParameter('cannot push a digest reference');
  const tags = tagsOf(means.images, reference);
  // Before anything is told: the answer's status says it too.
  if (input.platform !== undefined) for (const tagged of tags) imageOf(means.images, tagged, input.platform);
  await tell({ status: `The push refers to repository [${canonicalName(reference)}]` });
  if (tags.length === 0) {
    const others = tagsOf(means.images, { ...reference, tag: undefined });
    throw notFound(
      others.length > 0
        ? `tag does not exist: ${familiarString(reference)}`
        : `An image does not exist locally with the tag: ${name}`,
    );
  }
  const waiting = (seconds: number, reason: string): void => {
    const status = `Retrying in ${Math.ceil(seconds)} seconds: ${reason}`;
    void tell({ status }).catch(() => undefined);
  };
  const repository = await means.registry.repository(reference.domain, reference.path, {
    credentials: input.credentials,
    signal: input.signal,
    waiting,
  });
  try {
    const session = await writableSession(repository);
    for (const tagged of tags) await new Push(means, input, { repository, session }).run(tagged);
  } catch (error) {
    throw translatePush(error);
  }
}

const imageOf = (images: ImageStore, tagged: Reference, platform: Platform | undefined): Image =>
  images.resolve(familiarString(tagged), platform);

function tagsOf(images: ImageStore, reference: Reference): Reference[] {
  if (reference.tag !== undefined) return images.lookup(reference) === undefined ? [] : [reference];
  const repository = canonicalName(reference);
  return images
    .names()
    .map((name) => name.reference)
    .filter((known) => known.tag !== undefined && known.digest === undefined && canonicalName(known) === repository);
}

/** The registry itself: mirrors take nothing. */
export async function writableSession(repository: Repository): Promise<Session> {
  const { session, response } = await repository.ask({
    method: 'GET',
    url: '/',
    capability: 'push',
    scopes: repository.scopes('push'),
    accept: [200, 404],
    again: true,
  });
  await response.body?.cancel();
  return session;
}

/** Never a 401: it makes clients ask for a name and a password. */
function translatePush(error: unknown): unknown {
  if (!(error instanceof RegistryError)) {
    if (kindOf(error) !== 'unauthorized') return error;
    return systemError(messageOf(error).replace(/^\w+ "[^"]*": /, ''), { cause: error });
  }
  if (error.status === 401)
    return notFound(`unauthorized: ${messageOf(error).replace(/^unauthorized: /, '')}`, { cause: error });
  if (error.status === 403 && error.faults.length === 0) {
    return notFound('denied: requested access to the resource is denied', { cause: error });
  }
  return error;
}

class Push {
  readonly #means: PushMeans;
  readonly #input: PushInput;
  readonly #repository: Repository;
  readonly #session: Session;

  constructor(means: PushMeans, input: PushInput, to: { readonly repository: Repository; readonly session: Session }) {
    this.#means = means;
    this.#input = input;
    this.#repository = to.repository;
    this.#session = to.session;
  }

  async run(tagged: Reference): Promise<void> {
    const { images, content } = this.#means;
    const { platform, tell } = this.#input;
    const image = imageOf(images, tagged, platform);
    using layerLease = images.layers.lease();
    if (image.chainId !== undefined) layerLease.add(image.chainId);
    using lease = content.lease({ purpose: `push ${canonicalName(tagged)}` });
    lease.add(image.id);
    const target = images.target(tagged);
    if (content.document(target ?? '')?.kind === 'index') await this.#bring(imagesOf(images, target), lease);
    const index = platform === undefined ? await this.#index(target, lease) : undefined;
    const top = index ?? (await this.#image(image, target, lease));
    const tag = tagged.tag ?? 'latest';
    await putManifest(this.#repository, this.#session, { bytes: top.bytes, ...top.descriptor }, tag);
    failpoint('push.manifest-put');
    await this.#remember(image, tagged, top, lease);
    const { digest, size } = top.descriptor;
    await tell({ status: `${tag}: digest: ${digest} size: ${size}` });
    await tell({ progressDetail: {}, aux: { Tag: tag, Digest: digest, Size: size } });
  }

  async #image(image: Image, target: string | undefined, lease: ContentLease): Promise<PushManifest> {
    const { images, content, sources } = this.#means;
    const { tell, signal } = this.#input;
    const stack = images.layers.chain(image.chainId).reverse();
    for (const { blob } of stack) lease.add(blob.digest);
    // Shown by what the layers are, whatever their blobs are called.
    const shown = stack.map(({ diffId }) => diffId.slice('sha256:'.length, 'sha256:'.length + 12));
    for (const id of [...shown].reverse()) await tell({ status: 'Preparing', progressDetail: {}, id });
    const pusher = this.#pusher();
    let kept = await this.#kept(image, target, pusher);
    if (kept === undefined) {
      await this.#bring([image], lease);
      // With what has come it may be as it was.
      [kept] = keptManifests(images, image, target).filter(({ missing }) => missing.length === 0);
    }
    if (kept === undefined) {
      await recordAssembled(images, stack);
      for (const [i, { blob }] of images.layers.chain(image.chainId).reverse().entries()) {
        if (blob.compression !== 'plain') continue;
        const id = shown[i] ?? '';
        await compressBlob({ content, layers: images.layers }, blob, lease, {
          signal,
          progress: (bytes) => pusher.show(barMessage('Compressing', id, bytes, blob.size)),
        });
      }
    }
    const manifest = kept ?? makeManifest(images, image);
    lease.add(manifest.descriptor.digest);
    const blobs = manifest.layers.map(({ descriptor }, i) => ({ descriptor, id: shown[i] ?? '' })).reverse();
    await pusher.push(blobs);
    await pusher.push([{ descriptor: manifest.config, id: undefined }]);
    sources.note(
      this.#repository,
      manifest.layers.map(({ descriptor }) => descriptor.digest),
    );
    return manifest;
  }

  /** Archives that were dropped, from where they are. */
  async #bring(of: readonly Image[], lease: ContentLease): Promise<void> {
    const { credentials, signal, reference } = this.#input;
    const missing = droppedLayers(this.#means.images, of);
    if (missing.length === 0) return;
    await bringBlobs(this.#means, missing, { lease, login: { domain: reference.domain, credentials }, signal });
  }

  /** The first whose blobs are here, or can be had there without us. */
  async #kept(image: Image, target: string | undefined, pusher: BlobPusher): Promise<PushManifest | undefined> {
    for (const manifest of keptManifests(this.#means.images, image, target).slice(0, MANIFESTS_TRIED_MAX)) {
      if (await pusher.areThere(manifest.missing)) return manifest;
    }
    return undefined;
  }

  #pusher(): BlobPusher {
    const { content, sources } = this.#means;
    const { tell, signal } = this.#input;
    return new BlobPusher({ repository: this.#repository, session: this.#session, content, sources, tell, signal });
  }

  /** The index that the tag stands for, with all its platforms; undefined when one of them is not here. */
  async #index(target: string | undefined, lease: ContentLease): Promise<WholeDocument | undefined> {
    const { content, sources } = this.#means;
    const whole = target === undefined ? undefined : wholeIndex(content, target);
    if (whole === undefined) return undefined;
    lease.add(whole.descriptor.digest);
    for (const { descriptor } of whole.below) lease.add(descriptor.digest);
    for (const { digest } of whole.blobs) lease.add(digest);
    const blobs = whole.blobs.map((descriptor) => ({ descriptor, id: shortDigest(descriptor.digest) }));
    for (const { id } of blobs) await this.#input.tell({ status: 'Preparing', progressDetail: {}, id });
    await this.#pusher().push(blobs);
    for (const { bytes, descriptor } of whole.below) {
      await putManifest(this.#repository, this.#session, { bytes, ...descriptor }, descriptor.digest);
    }
    sources.note(
      this.#repository,
      whole.blobs.map(({ digest }) => digest),
    );
    return whole;
  }

  /** The image is known by the digest that it has there. */
  async #remember(image: Image, tagged: Reference, top: WholeDocument, lease: ContentLease): Promise<void> {
    const { images, content } = this.#means;
    const { descriptor } = top;
    await content.put(top.bytes, lease, algorithmOf(descriptor.digest));
    const byDigest = withDigest(tagged, parseDigest(descriptor.digest));
    if (images.lookup(byDigest) === image.id) return;
    const manifest = content.document(descriptor.digest)?.kind === 'index' ? undefined : descriptor;
    const config = images.configBytes(image.id);
    await images.createNamed([{ target: descriptor, images: [{ config, manifest }], references: [byDigest] }]);
  }
}
