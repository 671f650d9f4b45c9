/** An index that is here with all that it names, as it has to be to be pushed or copied. */
import type { ContentStore } from '#content/content-store.ts';
import { childrenOf, type Descriptor } from '#content/descriptor.ts';

const DEPTH_MAX = 4;

export interface WholeDocument {
  readonly bytes: Buffer;
  readonly descriptor: Descriptor;
}

export interface WholeIndex extends WholeDocument {
  /** What the index names, in the order in which a registry takes them. */
  readonly below: readonly WholeDocument[];
  readonly blobs: readonly Descriptor[];
}

/** Undefined when it is no index, or something that it names is not here. */
export function wholeIndex(content: ContentStore, digest: string): WholeIndex | undefined {
  const below = new Map<string, WholeDocument>();
  const blobs = new Map<string, Descriptor>();
  const visit = (of: string, depth: number): WholeDocument | undefined => {
    const document = content.document(of);
    const size = content.size(of);
    if (document === undefined || size === undefined || depth > DEPTH_MAX) return undefined;
    for (const child of childrenOf(document)) {
      if (document.kind === 'index') {
        const found = below.get(child.digest) ?? visit(child.digest, depth + 1);
        if (found === undefined) return undefined;
        below.set(child.digest, found);
      } else {
        if (!content.has(child.digest)) return undefined;
        blobs.set(child.digest, child);
      }
    }
    return { bytes: content.read(of, size), descriptor: { mediaType: document.mediaType, digest: of, size } };
  };
  if (content.document(digest)?.kind !== 'index') return undefined;
  const top = visit(digest, 0);
  return top === undefined ? undefined : { ...top, below: [...below.values()], blobs: [...blobs.values()] };
}
