/** What is read out of an image archive, whatever its format. */
import type { Descriptor } from '#content/descriptor.ts';
import { dataLoss } from '#errdefs/errors.ts';
import type { Reference } from '#reference/reference.ts';
import type { ImageConfigFile } from './config.ts';
import type { SpooledFile } from './spool.ts';

export const IMAGES_MAX = 1000;

export interface ArchivedLayer {
  readonly file: SpooledFile;
  /** What the file must hash to; undefined in formats that do not say. */
  readonly digest: string | undefined;
}

export interface ArchivedImage {
  readonly configBytes: Buffer;
  readonly config: ImageConfigFile;
  readonly layers: readonly ArchivedLayer[];
  /** Undefined in formats that have none. */
  readonly manifest: Descriptor | undefined;
}

/** One image of an archive with its names, or several platforms behind one index. */
export interface ArchivedName {
  readonly references: readonly Reference[];
  readonly target: Descriptor | undefined;
  readonly images: readonly ArchivedImage[];
  /** Manifests and indexes by digest. */
  readonly documents: ReadonlyMap<string, Buffer>;
  /** Blobs that belong to no image: what attestations say. */
  readonly extras: readonly { readonly file: SpooledFile; readonly digest: string }[];
}

export const missing = (name: string) => dataLoss(`invalid image archive: "${name}" is missing`);
