/** What an image is, and what makes one. */
import type { Descriptor, Platform } from '#content/descriptor.ts';
import { notFound } from '#errdefs/errors.ts';
import type { ChainId } from '#layer/chain-id.ts';
import type { Reference } from '#reference/reference.ts';
import type { ImageConfigFile } from './config.ts';

export interface Image {
  /** `sha256:…`: the digest of the configuration. */
  readonly id: string;
  readonly config: ImageConfigFile;
  /** Undefined for an image without layers. */
  readonly chainId: ChainId | undefined;
  /** Bytes of all its layers' files. */
  readonly size: number;
  /** Undefined when the configuration does not say. */
  readonly created: Date | undefined;
  /** The image it was made from here, if any: only `commit` and the builder know. */
  readonly parent: string | undefined;
  readonly lastTagged: Date | undefined;
  /** When it came to this host. */
  readonly arrived: Date;
  readonly platform: Platform;
  /** Digests of its manifests, as far as they are known. */
  readonly manifests: readonly string[];
  /** Familiar `name:tag`, sorted. */
  readonly tags: readonly string[];
  /** Familiar `name@digest`, sorted. */
  readonly digests: readonly string[];
}

export interface NewImage {
  readonly config: Uint8Array;
  readonly parent?: string;
  /** Its manifest, which lies in the content store (under a lease until this is recorded). */
  readonly manifest?: Descriptor | undefined;
}

/** What a name is: several platforms behind one index, or one image. */
export interface NamedImages {
  /** Manifest or index in the content store; undefined for images that never had one. */
  readonly target: Descriptor | undefined;
  /** The platforms that came, in the order of the index. */
  readonly images: readonly NewImage[];
  readonly references: readonly Reference[];
}

export interface CreatedImage {
  readonly image: NewImage;
  readonly references: readonly Reference[];
  /** Digest of the manifest or index that the references stand for; its own manifest when it does not say. */
  readonly target?: string | undefined;
}

export const noSuchImage = (name: string) => notFound(`No such image: ${name}`);
