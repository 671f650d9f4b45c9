/** `images`: the list with its filters, newest first. */
import type { ImageSummary } from '#api/types/image.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { parseTimestamp } from '#pkg/units/duration.ts';
import { familiarString, matchesReference, type Reference } from '#reference/reference.ts';
import type { Image } from './image.ts';
import type { ImageStore } from './image-store.ts';
import { type ContainersOf, manifestSummaries, targetDescriptor, wireDescriptor } from './manifest-summary.ts';
import { namedVariants } from './variants.ts';

export interface ListInput {
  readonly all: boolean;
  readonly sharedSize: boolean;
  readonly filters: ReadonlyMap<string, readonly string[]>;
  /** With what is behind each name; answers the containers of an image. */
  readonly manifests?: ContainersOf | undefined;
}

const FILTERS = ['before', 'dangling', 'label', 'label!', 'reference', 'since', 'until'];

/** Errors: invalid-parameter for a wrong filter; not-found for an unknown image of `before` or `since`. */
export function listImages(store: ImageStore, input: ListInput): ImageSummary[] {
  const { filters } = input;
  for (const key of filters.keys()) if (!FILTERS.includes(key)) throw invalidParameter(`invalid filter '${key}'`);
  const dangling = danglingOf(filters.get('dangling'));
  const matches = matcherOf(store, filters);
  const images = store.list();
  const parents = new Set(images.map((image) => image.parent));
  const variants = new Lazy(() => namedVariants(store));
  const shared = input.sharedSize ? sharedSizes(store, images) : undefined;
  const rows: ImageSummary[] = [];
  for (const image of images) {
    if (!matches(image)) continue;
    const names = namesOf(store, image, filters.get('reference'));
    if (names.tags.length === 0 && names.digests.length === 0) {
      // Images in between are shown only when asked for: they are the parents of others.
      if (!input.all && parents.has(image.id)) continue;
      if (dangling === false || filters.has('reference')) continue;
      // Platforms of a name are shown with it.
      if (image.manifests.length > 0 && variants.value.has(image.id)) continue;
    } else if (dangling === true && names.tags.length > 0) continue;
    const target = targetDescriptor(store, names.tags[0] ?? names.digests[0] ?? image.id, image);
    rows.push({
      Containers: -1,
      Created: Math.floor((image.created?.getTime() ?? 0) / 1000),
      Id: image.id,
      Labels: image.config.config?.Labels === undefined ? null : { ...image.config.config.Labels },
      ...(input.manifests === undefined ? {} : { Manifests: manifestSummaries(store, image, input.manifests) }),
      ParentId: image.parent ?? '',
      ...(target === undefined ? {} : { Descriptor: wireDescriptor(target) }),
      RepoDigests: names.digests,
      RepoTags: names.tags,
      SharedSize: shared?.get(image.id) ?? -1,
      Size: image.size,
    });
  }
  return rows.sort((a, b) => b.Created - a.Created);
}

class Lazy<T> {
  readonly #make: () => T;
  #made: { readonly value: T } | undefined;

  constructor(make: () => T) {
    this.#make = make;
  }

  get value(): T {
    this.#made ??= { value: this.#make() };
    return this.#made.value;
  }
}

function danglingOf(values: readonly string[] | undefined): boolean | undefined {
  if (values === undefined) return undefined;
  const truths = new Set(values.map((value) => value.toLowerCase()));
  if (truths.size === 1 && (truths.has('true') || truths.has('1'))) return true;
  if (truths.size === 1 && (truths.has('false') || truths.has('0'))) return false;
  throw invalidParameter(`invalid filter 'dangling=[${values.join(' ')}]'`);
}

function matcherOf(store: ImageStore, filters: ListInput['filters']): (image: Image) => boolean {
  const time = (key: string): number[] =>
    (filters.get(key) ?? []).map((name) => store.resolve(name).created?.getTime() ?? 0);
  const before = time('before');
  const since = time('since');
  const until = (filters.get('until') ?? []).map((text) => Number(parseTimestamp(text, store.now()) / 1_000_000n));
  const labels = filters.get('label') ?? [];
  const noLabels = filters.get('label!') ?? [];
  return (image) => {
    const created = image.created?.getTime();
    const timed = before.length + since.length + until.length > 0;
    if (timed && created === undefined) return false;
    if (created !== undefined) {
      if (before.some((limit) => created >= limit) || since.some((limit) => created <= limit)) return false;
      if (until.some((limit) => created >= limit)) return false;
    }
    return labels.every((label) => hasLabel(image, label)) && !noLabels.some((label) => hasLabel(image, label));
  };
}

/** `key` or `key=value`. */
function hasLabel(image: Image, label: string): boolean {
  const equals = label.indexOf('=');
  const key = equals < 0 ? label : label.slice(0, equals);
  const labels = image.config.config?.Labels ?? {};
  if (!Object.hasOwn(labels, key)) return false;
  return equals < 0 || labels[key] === label.slice(equals + 1);
}

function namesOf(
  store: ImageStore,
  image: Image,
  patterns: readonly string[] | undefined,
): { tags: string[]; digests: string[] } {
  if (patterns === undefined) return { tags: [...image.tags], digests: [...image.digests] };
  const wanted = (reference: Reference): boolean => patterns.some((pattern) => matchesReference(pattern, reference));
  const references = store.references(image.id).filter(wanted);
  return {
    tags: references.filter((r) => r.digest === undefined).map(familiarString),
    digests: references.filter((r) => r.digest !== undefined).map(familiarString),
  };
}

/** Bytes of an image's layers that other images have too. */
function sharedSizes(store: ImageStore, images: readonly Image[]): Map<string, number> {
  const users = new Map<string, number>();
  for (const image of images) {
    for (const layer of store.layers.chain(image.chainId))
      users.set(layer.chainId, (users.get(layer.chainId) ?? 0) + 1);
  }
  return new Map(
    images.map((image) => [
      image.id,
      store.layers
        .chain(image.chainId)
        .filter((layer) => (users.get(layer.chainId) ?? 0) > 1)
        .reduce((sum, layer) => sum + layer.size, 0),
    ]),
  );
}
