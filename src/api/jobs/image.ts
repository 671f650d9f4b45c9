/** Jobs on images. */
import type { ContainerConfig } from '#api/types/container.ts';
import type { Platform } from '#api/types/descriptor.ts';
import type {
  AttestationStatement,
  AuthConfig,
  AuthResponse,
  DistributionInspect,
  ImageDeleteItem,
  ImageHistoryItem,
  ImageInspect,
  ImageSearchResult,
  ImageSummary,
  LayerBlob,
} from '#api/types/image.ts';
import { defineJob } from '#engine/engine.ts';
import type { Filters } from './container.ts';
import type { OutputStream } from './streams.ts';

export const imageList = defineJob<
  { all: boolean; sharedSize: boolean; manifests: boolean; filters: Filters },
  ImageSummary[]
>('image.list');
export const imageInspect = defineJob<
  { image: string; platform: Platform | undefined; manifests: boolean },
  ImageInspect
>('image.inspect');
export const imageHistory = defineJob<{ image: string; platform: Platform | undefined }, ImageHistoryItem[]>(
  'image.history',
);
export const imageTag = defineJob<{ image: string; repo: string; tag: string }, void>('image.tag');
export const imageRemove = defineJob<
  { image: string; force: boolean; noprune: boolean; platforms: readonly Platform[] },
  ImageDeleteItem[]
>('image.remove');
export const imageAttestations = defineJob<
  { image: string; platform: Platform | undefined; types: readonly string[]; statement: boolean },
  AttestationStatement[]
>('image.attestations');
/** Progress is JSON objects, one a line, as docker shows them. */
export const imageLoad = defineJob<
  {
    archive: AsyncIterable<Uint8Array>;
    quiet: boolean;
    platforms: readonly Platform[];
    /** Layers that are here already may be missing in the archive. */
    partial: boolean;
    progress: OutputStream;
  },
  void
>('image.load');
/** `without`: layers that are left out, because the reader has them. */
export const imageSave = defineJob<
  {
    names: readonly string[];
    platforms: readonly Platform[];
    without: readonly string[];
    /** By digest: bytes that the reader has. */
    from: ReadonlyMap<string, number>;
    output: OutputStream;
  },
  void
>('image.save');
/** The layers that a save would write. */
export const imageLayers = defineJob<{ names: readonly string[]; platforms: readonly Platform[] }, LayerBlob[]>(
  'image.layers',
);
/** Which of these blobs are not here; the others are not collected for some time. */
export const imageMissing = defineJob<
  { digests: readonly string[] },
  { readonly missing: readonly string[]; readonly begun: ReadonlyMap<string, number> }
>('image.missing');
export const imageImport = defineJob<
  {
    /** '-': the archive; else an address of http(s). */
    source: string;
    archive: AsyncIterable<Uint8Array>;
    repo: string;
    tag: string;
    message: string;
    changes: readonly string[];
    platform: string;
    progress: OutputStream;
  },
  void
>('image.import');
export interface CommitInput {
  readonly container: string;
  /** '' for an image without a name. */
  readonly repo: string;
  readonly tag: string;
  readonly author: string;
  readonly comment: string;
  readonly changes: readonly string[];
  readonly pause: boolean;
  /** Instead of the container's. */
  readonly config: ContainerConfig | undefined;
}
/** Answers the image's id. */
export const imageCommit = defineJob<CommitInput, string>('image.commit');
export interface PullInput {
  readonly image: string;
  /** Or a digest; '' when the name has one, else all tags are meant. */
  readonly tag: string;
  readonly platform: string;
  /** X-Registry-Auth as it came. */
  readonly auth: string;
  readonly progress: OutputStream;
}
export const imagePull = defineJob<PullInput, void>('image.pull');
export interface PushInput {
  readonly image: string;
  /** '' for all tags. */
  readonly tag: string;
  readonly platform: string;
  readonly auth: string;
  readonly progress: OutputStream;
}
export const imagePush = defineJob<PushInput, void>('image.push');
export interface CopyInput {
  readonly source: string;
  readonly destination: string;
  readonly platform: string;
  readonly sourceAuth: string;
  readonly destinationAuth: string;
  readonly progress: OutputStream;
}
export const imageCopy = defineJob<CopyInput, void>('image.copy');
export const imageSearch = defineJob<
  { term: string; limit: number; filters: Filters; auth: string },
  ImageSearchResult[]
>('image.search');
export const distributionInspect = defineJob<{ image: string; auth: string }, DistributionInspect>(
  'distribution.inspect',
);
export const registryLogin = defineJob<{ request: AuthConfig }, AuthResponse>('registry.login');
