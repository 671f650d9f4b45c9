/**
 * What a build is asked for, independent of how it was asked: the classic API, BuildKit's and our own CLI make one of
 * these. Contexts are interfaces, so that files may come from an uploaded tar, a checkout or a client's session.
 */
import type { Descriptor } from '#content/descriptor.ts';
import type { ImageRunConfig } from '#image/config.ts';
import type { DiffId } from '#layer/chain-id.ts';
import type { Reference } from '#reference/reference.ts';
import type { KeptTree } from './files/jobs.ts';
import type { Progress } from './progress.ts';

/** Files that a Dockerfile may name. */
export interface BuildContext {
  /** A small file, for Dockerfiles and ignore files; undefined when there is none. `told`: what came for it. */
  readFile(path: string, signal: AbortSignal, told?: (bytes: number) => void): Promise<Uint8Array | undefined>;
  /**
   * A directory that has at least what is wanted. It is not changed and stays open until the build ends; it counts as
   * `/` for every path and link.
   */
  files(wanted: WantedFiles, signal: AbortSignal): Promise<{ readonly root: number }>;
  /** The same as a kept tree: whoever can takes its files from there, and makes no directory of them. */
  kept?(wanted: WantedFiles, signal: AbortSignal): Promise<KeptTree | undefined>;
}

export interface WantedFiles {
  /** Paths and patterns of all COPY, ADD and bind mounts; undefined: everything. */
  readonly sources: readonly string[] | undefined;
  /** Lines of the ignore file. */
  readonly ignore: readonly string[];
}

/** `--build-context name=…`: instead of an image or stage of that name. */
export type NamedContext =
  | { readonly kind: 'files'; readonly context: BuildContext }
  | { readonly kind: 'image'; readonly reference: string };

/** Secrets of the client. Values are in memory only. */
export interface SecretSource {
  /** Undefined when the client has none of that name. */
  secret(id: string, signal: AbortSignal): Promise<Uint8Array | undefined>;
}

/** Credentials of the client for registries. Values are in memory only. */
export interface LoginSource {
  /** What goes with a pull from the registry, as in X-Registry-Auth; '' for nothing. `docker.io` is the hub. */
  login(registry: string, signal: AbortSignal): Promise<string>;
}

/** The client's ssh agent. */
export interface SshSource {
  /** Path of a socket that leads to the agent, for one step; undefined when the client has none of that name. */
  socket(id: string, signal: AbortSignal): Promise<({ readonly path: string } & AsyncDisposable) | undefined>;
}

export interface StepLimits {
  readonly memoryBytes: number;
  readonly memorySwapBytes: number;
  readonly cpuShares: number;
  readonly cpuPeriodUs: number;
  readonly cpuQuotaUs: number;
  readonly cpusetCpus: string;
  readonly cpusetMems: string;
  readonly shmSizeBytes: number;
  readonly ulimits: readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[];
  readonly cgroupParent: string;
}

export interface BuildRequest {
  /** Names this build for `cancel`; '' for none. */
  readonly id: string;
  readonly dockerfile: { readonly name: string; readonly text: string };
  readonly context: BuildContext | undefined;
  /** Lines of .dockerignore or <Dockerfile>.dockerignore. */
  readonly ignore: readonly string[];
  readonly named: ReadonlyMap<string, NamedContext>;
  /** Values of ARGs; null takes a default away. */
  readonly args: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** A stage's name or number; '' is the last. */
  readonly target: string;
  readonly platform: string;
  /** More than one: an image of several platforms behind one index. */
  readonly platforms: readonly string[];
  readonly pull: boolean;
  readonly noCache: boolean;
  /** Stages that are built anew. */
  readonly noCacheStages: readonly string[];
  readonly networkMode: string;
  readonly extraHosts: readonly string[];
  readonly securityOptions: readonly string[];
  readonly limits: StepLimits;
  /** `build -v HOST:CTR`: read-only, outside of the cache key. */
  readonly binds: readonly string[];
  readonly allow: ReadonlySet<'network.host' | 'security.insecure'>;
  readonly logins: LoginSource;
  readonly secrets: SecretSource | undefined;
  readonly ssh: SshSource | undefined;
  /** All layers of the build become one. */
  readonly squash: boolean;
  /** Seconds since the epoch, instead of every time in the image. */
  readonly sourceDateEpoch: number | undefined;
  /** Names of the image in the store. Empty: it gets none. */
  readonly references: readonly Reference[];
  /** False: the result is not made an image (`--output local`, cache only). */
  readonly image: boolean;
  readonly imageWish: ImageWish;
  /** Files of the result go to these too. */
  readonly exporters: readonly Exporter[];
  /** Results of steps from elsewhere; what cannot be had is left out with a warning. */
  readonly cacheSources: readonly CacheSource[];
  /** Where results of this build's steps go. */
  readonly cacheTargets: readonly CacheTarget[];
  /** The image says in its configuration which of its layers a step has made. */
  readonly inlineCache: boolean;
}

/** A layer in a cache that lies elsewhere. */
export interface CachedLayer {
  readonly diffId: DiffId;
  readonly descriptor: Descriptor;
}

/** A cache to read. */
export interface CacheSource {
  /** For people: `registry.example/app:cache`. */
  readonly name: string;
  /** Errors: those of where it lies. */
  load(signal: AbortSignal): Promise<readonly LoadedCache[]>;
}

export interface LoadedCache {
  /** `cacheconfig.v0`; not trusted. */
  readonly config: Uint8Array;
  /** Its blobs by their digest, as far as they can be had; with DiffIds where somebody else says them. */
  readonly layers: ReadonlyMap<string, Omit<CachedLayer, 'diffId'> & { readonly diffId: DiffId | undefined }>;
  /** Puts a whole stack into the layer store, checked against both digests. It may be there in part. */
  bring(stack: readonly CachedLayer[], signal: AbortSignal): Promise<void>;
}

/** A cache to write. */
export interface CacheTarget {
  readonly name: string;
  /** `max`: the steps of all stages, not only those of the result. */
  readonly mode: 'min' | 'max';
  readonly compression: CompressionWish;
  /** The build does not fail when this does. */
  readonly ignoreErrors: boolean;
  /** `layers` in the order of the configuration, which has the digest of each. */
  store(config: Uint8Array, layers: readonly ExportedLayer[], signal: AbortSignal): Promise<void>;
}

export interface ExportedLayer {
  readonly descriptor: Descriptor;
  /** The blob is in the content store when it settles: it may lie elsewhere, and be there already where it goes. */
  ready(): Promise<void>;
}

/** How layers that are not compressed yet are. */
export interface CompressionWish {
  readonly type: 'gzip' | 'zstd' | 'uncompressed';
  readonly level: number | undefined;
  /** Others are changed to it. */
  readonly force: boolean;
}

/** Takes the result's root file system. */
export interface Exporter {
  /** `of`: the platform (`linux/arm64`), and whether it is one of several. */
  export(
    root: number,
    config: ImageRunConfig,
    signal: AbortSignal,
    of: { readonly platform: string; readonly isOneOfMany: boolean },
  ): Promise<void>;
}

export interface BuildResult {
  /** `sha256:…`; '' when no image was asked for. Of several platforms the one that serves this host best. */
  readonly imageId: string;
  /** Manifest or index; undefined where none was made yet. */
  readonly descriptor: Descriptor | undefined;
  /** Of every platform, in their order. */
  readonly images: readonly BuiltPlatform[];
  readonly config: ImageRunConfig;
  /** Build args that nothing used. */
  readonly unusedArgs: readonly string[];
}

export interface BuiltPlatform {
  readonly platform: string;
  readonly imageId: string;
  readonly manifest: Descriptor | undefined;
}

export interface BuildControl {
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** What the image is beside its layers and configuration. */
export interface ImageWish {
  /** Undefined: the manifest is made when the image is pushed or saved. */
  readonly compression: CompressionWish | undefined;
  /** Types of the OCI instead of Docker's; undefined: those of the OCI only where Docker has none. */
  readonly ociTypes: boolean | undefined;
  readonly annotations: readonly ImageAnnotation[];
  readonly attestations: Attestations;
}

export interface ImageAnnotation {
  readonly level: 'manifest' | 'manifest-descriptor' | 'index' | 'index-descriptor';
  /** Only of this one; undefined: of all. */
  readonly platform: string | undefined;
  readonly key: string;
  readonly value: string;
}

/** Statements beside the image in its index. */
export interface Attestations {
  readonly provenance: ProvenanceWish | undefined;
  readonly sbom: boolean;
}

export interface ProvenanceWish {
  readonly mode: 'min' | 'max';
  readonly version: 'v0.2' | 'v1';
  readonly builderId: string;
  readonly reproducible: boolean;
  /** Where the context is from, for people: '' is a local directory. */
  readonly source: string;
}
