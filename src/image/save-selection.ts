/** Which images `save` is asked for, by which names. */
import { kindOf } from '#errdefs/errors.ts';
import { canonicalString, parseReference, type Reference, withDefaultTag } from '#reference/reference.ts';
import { type Image, noSuchImage } from './image.ts';
import type { ImageStore } from './image-store.ts';

export interface SelectedImage {
  readonly image: Image;
  /** As it was asked for. */
  readonly given: string;
  readonly references: Reference[];
}

/** One entry per image, in the order asked for; a name given twice counts once. */
export function selectImages(store: ImageStore, names: readonly string[]): SelectedImage[] {
  const selected = new Map<string, SelectedImage>();
  const add = (id: string, given: string, reference: Reference | undefined): void => {
    const entry = selected.get(id) ?? { image: store.get(id), given, references: [] };
    selected.set(id, entry);
    if (reference?.tag === undefined || reference.digest !== undefined) return;
    if (!entry.references.some((known) => canonicalString(known) === canonicalString(reference))) {
      entry.references.push(reference);
    }
  };
  for (const name of names) {
    const image = resolveFor(store, name);
    if (image.byName === undefined) add(image.id, name, undefined);
    else for (const { id, reference } of image.byName) add(id, name, reference);
  }
  return [...selected.values()];
}

interface Resolved {
  readonly id: string;
  /** Undefined: it was named by its id. */
  readonly byName: readonly { readonly id: string; readonly reference: Reference }[] | undefined;
}

function resolveFor(store: ImageStore, name: string): Resolved {
  const tags = tagsOf(store, name);
  const [first] = tags;
  if (first !== undefined) return { id: first.id, byName: tags };
  const resolved = resolveOrRefuse(store, name);
  const bareId = name.startsWith('sha256:') ? name.slice('sha256:'.length) : name;
  if (/^[0-9a-f]{1,64}$/.test(bareId) && resolved.id.startsWith(`sha256:${bareId}`)) {
    const isAlsoName = bareId.length < 64 && !name.startsWith('sha256:') && store.lookup(parseReference(name));
    if (isAlsoName !== resolved.id) return { id: resolved.id, byName: undefined };
  }
  const reference = parseReference(name);
  const isWhole = reference.tag !== undefined || reference.digest !== undefined;
  return { id: resolved.id, byName: [{ id: resolved.id, reference: isWhole ? reference : withDefaultTag(reference) }] };
}

/** A bare repository means all its tags, also when none of them is the default one. */
function tagsOf(store: ImageStore, name: string): { readonly id: string; readonly reference: Reference }[] {
  const asked = referenceOrNone(name);
  if (asked === undefined) return [];
  if (asked.tag !== undefined || asked.digest !== undefined) return [];
  const repository = canonicalString(asked);
  return store
    .list()
    .flatMap((image) => store.references(image.id).map((reference) => ({ id: image.id, reference })))
    .filter(({ reference }) => canonicalString({ ...reference, tag: undefined, digest: undefined }) === repository);
}

function referenceOrNone(name: string): Reference | undefined {
  try {
    return parseReference(name);
  } catch (error) {
    if (kindOf(error) !== 'invalid-parameter') throw error;
    return undefined; // an id, or nothing at all: `resolve` says which
  }
}

/** Of a save Docker tells the name as it was given. */
function resolveOrRefuse(store: ImageStore, name: string): Image {
  try {
    return store.resolve(name);
  } catch (error) {
    throw kindOf(error) === 'not-found' ? noSuchImage(name) : error;
  }
}
