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
}

export function encodeImageRecord(record: ImageRecord): unknown {
  return { parent: record.parent ?? null, lastTagged: record.lastTagged ?? null, createdHere: record.createdHere };
}

export function decodeImageRecord(id: string, document: unknown): ImageRecord {
  if (isObject(document)) {
    const { parent, lastTagged, createdHere } = document;
    const isText = (value: unknown): value is string | null => value === null || typeof value === 'string';
    if (isText(parent) && isText(lastTagged) && typeof createdHere === 'string') {
      return { parent: parent ?? undefined, lastTagged: lastTagged ?? undefined, createdHere };
    }
  }
  throw dataLoss(`Cannot read image ${id}: its record is damaged`);
}
