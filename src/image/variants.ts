/** The platforms behind one name: an index, its manifests, and which of them are images here. */
import { type ContentStore, digestOf } from '#content/content-store.ts';
import { type Descriptor, isAttestation, type Platform } from '#content/descriptor.ts';
import { kindOf, notFound } from '#errdefs/errors.ts';
import { parseReference, type Reference } from '#reference/reference.ts';
import { decodeImageConfig, type ImageConfigFile } from './config.ts';
import type { Image, NewImage } from './image.ts';
import { bestPlatform, formatPlatform, hostPlatform, isPlatform } from './platform.ts';

const INDEX_DEPTH_MAX = 4;

/** What is asked of the image store. */
export interface VariantSource {
  readonly content: Pick<ContentStore, 'document' | 'size'>;
  withManifest(digest: string): Image | undefined;
}

interface NamedSource extends VariantSource {
  lookup(reference: Reference): string | undefined;
  target(reference: Reference): string | undefined;
  references(id: string): Reference[];
  targets(): string[];
}

export interface Variant {
  readonly descriptor: Descriptor;
  /** Undefined when it is not here. */
  readonly image: Image | undefined;
}

export const platformOfConfig = ({ os, architecture, variant, ...rest }: ImageConfigFile): Platform => ({
  os,
  architecture,
  ...(variant === undefined || variant === '' ? {} : { variant }),
  ...(rest['os.version'] === undefined ? {} : { 'os.version': rest['os.version'] }),
});

/** The manifests of an index (of a manifest: itself), also of those nested in it; attestations and such among them. */
export function variantsOf(store: VariantSource, target: string | undefined): Variant[] {
  const found: Variant[] = [];
  const visit = (descriptor: Descriptor, depth: number): void => {
    const document = documentOf(store, descriptor.digest);
    if (document?.kind === 'index') {
      if (depth < INDEX_DEPTH_MAX) for (const child of document.manifests) visit(child, depth + 1);
    } else found.push({ descriptor, image: store.withManifest(descriptor.digest) });
  };
  if (target === undefined) return found;
  const mediaType = documentOf(store, target)?.mediaType ?? '';
  visit({ mediaType, digest: target, size: store.content.size(target) ?? 0 }, 0);
  return found;
}

/** Images here that are behind the target, as far as they are of a platform. */
export function imagesOf(store: VariantSource, target: string | undefined): Image[] {
  return variantsOf(store, target).flatMap(({ descriptor, image }) =>
    image === undefined || isAttestation(descriptor) ? [] : [image],
  );
}

/** The image that names of `target` mean: a new one, the id of one that is here, or undefined. */
export function primaryOf(
  store: VariantSource,
  target: Descriptor | undefined,
  images: readonly NewImage[],
): NewImage | string | undefined {
  type Offer = { readonly pick: NewImage | string; readonly platform: Platform };
  const fresh = new Set(images.map(({ config }) => digestOf(config)));
  const offers: Offer[] = images.map((image) => ({
    pick: image,
    platform: platformOfConfig(decodeImageConfig(image.config)),
  }));
  for (const { id, platform } of imagesOf(store, target?.digest)) {
    if (!fresh.has(id)) offers.push({ pick: id, platform });
  }
  return (bestPlatform(hostPlatform(), offers, (offer) => offer.platform) ?? offers[0])?.pick;
}

/** Errors: not-found in Docker's words. */
export function imageOfPlatform(store: NamedSource, given: string, image: Image, wanted: Platform): Image {
  const candidates = [image, ...imagesOf(store, targetOf(store, given, image))];
  const fitting = candidates.filter(({ platform }) => isPlatform(wanted, platform));
  const best = bestPlatform(wanted, fitting, ({ platform }) => platform);
  if (best !== undefined) return best;
  throw notFound(
    `image with reference ${given} was found but its platform (${formatPlatform(image.platform)}) ` +
      `does not match the specified platform (${formatPlatform(wanted)})`,
  );
}

/** What the image was named by stands for; of an id, what its first name does. */
export function targetOf(store: NamedSource, given: string, image: Image): string | undefined {
  const named = referenceOf(given);
  if (named !== undefined && store.lookup(named) === image.id) return store.target(named);
  for (const reference of store.references(image.id)) {
    const target = store.target(reference);
    if (target !== undefined) return target;
  }
  return image.manifests.at(-1);
}

function referenceOf(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch (error) {
    if (kindOf(error) === 'invalid-parameter') return undefined;
    throw error;
  }
}

/** Ids of images without a name of their own that an index of a name has among its platforms. */
export function namedVariants(store: NamedSource): Set<string> {
  const ids = new Set<string>();
  for (const target of store.targets()) for (const { id } of imagesOf(store, target)) ids.add(id);
  return ids;
}

/** Undefined when it is not here; a damaged one is none. */
export function documentOf(
  { content }: Pick<VariantSource, 'content'>,
  digest: string,
): ReturnType<ContentStore['document']> {
  try {
    return content.document(digest);
  } catch (error) {
    if (kindOf(error) === 'data-loss') return undefined;
    throw error;
  }
}
