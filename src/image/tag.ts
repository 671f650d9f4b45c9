/** `tag`: a further name for an image. */
import { invalidParameter } from '#errdefs/errors.ts';
import { familiarString, parseReference, withDefaultTag, withTag } from '#reference/reference.ts';
import type { ImageStore } from './image-store.ts';
import { targetOf } from './variants.ts';

/** Answers the familiar name and the image's id. Errors: not-found, invalid-parameter. */
export async function tagImage(
  store: ImageStore,
  image: string,
  repo: string,
  tag: string,
): Promise<{ id: string; name: string }> {
  const source = store.resolve(image);
  const { id } = source;
  const named = parseReference(repo);
  if (named.digest !== undefined) throw invalidParameter('refusing to create a tag with a digest reference');
  // As dockerd: `sha256:…` is a digest's beginning, never a name.
  if (named.path === 'library/sha256') {
    throw invalidParameter('refusing to create an ambiguous tag using digest algorithm as name');
  }
  const reference = tag === '' ? withDefaultTag(named) : withTag(named, tag);
  store.tag(id, reference, targetOf(store, image, source));
  await store.settled();
  return { id, name: familiarString(reference) };
}
