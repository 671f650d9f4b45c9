/** Jobs of the builder. */
import type { BuildCache, CacheMountSummary, RegistryAuth } from '#api/types/build.ts';
import type { BuildPruneResponse } from '#api/types/disk-usage.ts';
import type { Ulimit } from '#api/types/host-config.ts';
import { defineJob } from '#engine/engine.ts';
import type { Filters } from './container.ts';
import type { OutputStream } from './streams.ts';

/** How a build tells of itself: Docker's lines of JSON, or our events, one a line. */
export type BuildFormat = 'classic' | 'events';

export interface BuildInput {
  /** Tar of the context, as it comes; not read when `remote` is given. */
  readonly context: AsyncIterable<Uint8Array>;
  /** Path in the context; '' is Dockerfile. */
  readonly dockerfile: string;
  /** Git, http(s) address of a tar or of a Dockerfile; '' for the body. */
  readonly remote: string;
  readonly tags: readonly string[];
  readonly quiet: boolean;
  readonly noCache: boolean;
  readonly noCacheStages: readonly string[];
  readonly pull: boolean;
  readonly remove: boolean;
  readonly args: Readonly<Record<string, string | null>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly target: string;
  readonly platform: string;
  readonly networkMode: string;
  readonly extraHosts: readonly string[];
  readonly securityOptions: readonly string[];
  readonly memory: number;
  readonly memorySwap: number;
  readonly cpuShares: number;
  readonly cpuPeriod: number;
  readonly cpuQuota: number;
  readonly cpusetCpus: string;
  readonly cpusetMems: string;
  readonly shmSize: number;
  readonly ulimits: readonly Ulimit[];
  readonly cgroupParent: string;
  readonly cacheFrom: readonly string[];
  /** Beyond Docker's classic builder, as buildx writes them: `type=registry,ref=…`. */
  readonly cacheTo?: readonly string[];
  /** Beyond: what the image's manifest is to be: compression, oci-mediatypes … */
  readonly imageOptions?: Readonly<Record<string, string>>;
  readonly annotations?: readonly string[];
  /** `type=provenance,mode=max`. */
  readonly attests?: readonly string[];
  /** Repositories that get the image by its digest alone. */
  readonly pushByDigest?: readonly string[];
  readonly squash: boolean;
  readonly buildId: string;
  /** X-Registry-Config: by the registry's address. */
  readonly auths: Readonly<Record<string, RegistryAuth>>;
  /** Beyond Docker: values of secrets, by their id. In memory only. */
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  /** Beyond Docker: sockets of ssh agents on the daemon's host, by their id. */
  readonly ssh: Readonly<Record<string, string>>;
  /** Beyond Docker: directories that were uploaded under `.berth-contexts/NAME` of the tar, and images. */
  readonly contexts: Readonly<Record<string, string>>;
  readonly allow: readonly string[];
  readonly binds: readonly string[];
  /** Beyond Docker: the context is kept under this key, and has the changes of this generation only ('': all of it). */
  readonly kept?: { readonly key: string; readonly changesOf: string } | undefined;
  readonly format: BuildFormat;
  readonly progress: OutputStream;
}

export const imageBuild = defineJob<BuildInput, void>('image.build');
/** What is kept under a key; undefined: nothing. */
export const buildContextKept = defineJob<{ readonly key: string }, { readonly generation: string } | undefined>(
  'build.context-kept',
);
export const imageBuildCancel = defineJob<{ readonly id: string }, void>('image.build-cancel');

export interface BuildPruneInput {
  readonly all: boolean;
  readonly filters: Filters;
  /** Bytes; undefined: no such rule. */
  readonly reservedSpace: number | undefined;
  readonly maxUsedSpace: number | undefined;
  readonly minFreeSpace: number | undefined;
}
export const buildPrune = defineJob<BuildPruneInput, BuildPruneResponse>('build.prune');
export const buildCacheList = defineJob<void, readonly BuildCache[]>('build.cache-list');

/** Beyond Docker: directories of `RUN --mount=type=cache`, by their id. */
export const cacheMountList = defineJob<void, readonly CacheMountSummary[]>('build.cache-mount-list');
export const cacheMountExport = defineJob<{ readonly id: string; readonly output: OutputStream }, void>(
  'build.cache-mount-export',
);
export const cacheMountImport = defineJob<{ readonly id: string; readonly archive: AsyncIterable<Uint8Array> }, void>(
  'build.cache-mount-import',
);
