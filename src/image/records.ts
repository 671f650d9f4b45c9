/** The image store's documents in graphdb. Everything that follows from the configuration is not repeated here. */
import { dataLoss } from '#errdefs/errors.ts';
import { isObject } from './config.ts';

export const IMAGE_KIND = 'image';

export interface ImageRecord {
  readonly parent: string | undefined;
  /** ISO 8601. */
  readonly lastTagged: string | undefined;
  /** When it came to this host. */
  readonly createdHere: string;
  /** Digests of manifests of this image that are in the content store, the newest last. */
  readonly manifests: readonly string[];
}

export function encodeImageRecord(record: ImageRecord): unknown {
  const { parent, lastTagged, createdHere, manifests } = record;
  return { parent: parent ?? null, lastTagged: lastTagged ?? null, createdHere, manifests };
}

export function decodeImageRecord(id: string, document: unknown): ImageRecord {
  if (isObject(document)) {
    // Records of before manifests were kept have none.
    const { parent, lastTagged, createdHere, manifests = [] } = document;
    const isText = (value: unknown): value is string | null => value === null || typeof value === 'string';
    const isList = (value: unknown): value is string[] =>
      Array.isArray(value) && value.every((entry) => typeof entry === 'string');
    if (isText(parent) && isText(lastTagged) && typeof createdHere === 'string' && isList(manifests)) {
      return { parent: parent ?? undefined, lastTagged: lastTagged ?? undefined, createdHere, manifests };
    }
  }
  throw dataLoss(`Cannot read image ${id}: its record is damaged`);
}
