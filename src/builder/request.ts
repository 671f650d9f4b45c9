/**
 * What a build is asked for, independent of how it was asked: the classic API, BuildKit's and our own CLI make one of
 * these. Contexts are interfaces, so that files may come from an uploaded tar, a checkout or a client's session.
 */
import type { ImageRunConfig } from '#image/config.ts';
import type { Reference } from '#reference/reference.ts';
import type { Progress } from './progress.ts';

/** Files that a Dockerfile may name. */
export interface BuildContext {
  /** A small file, for Dockerfiles and ignore files; undefined when there is none. */
  readFile(path: string, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /**
   * A directory that has at least what is wanted. It is not changed and stays open until the build ends; it counts as
   * `/` for every path and link.
   */
  files(wanted: WantedFiles, signal: AbortSignal): Promise<{ readonly root: number }>;
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
  /** Files of the result go to these too. */
  readonly exporters: readonly Exporter[];
  /** Images whose history says which of their layers a step made (inline cache), and directories of caches. */
  readonly cacheFrom: readonly string[];
}

/** Takes the result's root file system. */
export interface Exporter {
  export(root: number, config: ImageRunConfig, signal: AbortSignal): Promise<void>;
}

export interface BuildResult {
  /** `sha256:…`; '' when no image was asked for. */
  readonly imageId: string;
  readonly config: ImageRunConfig;
  /** Build args that nothing used. */
  readonly unusedArgs: readonly string[];
}

export interface BuildControl {
  readonly progress: Progress;
  readonly signal: AbortSignal;
}
