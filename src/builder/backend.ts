/** What the builder needs of the engine it runs in. The daemon implements it (src/daemon/builder). */
import type { ContentLease } from '#content/leases.ts';
import type { Image } from '#image/image.ts';
import type { DiffId } from '#layer/chain-id.ts';
import type { LayerBlob } from '#layer/records.ts';
import type { Standing } from '#layer/snapshots.ts';
import type { CompressionWish, LoginSource, StepLimits } from './request.ts';

export interface ImageQuery {
  readonly reference: string;
  /** '' for the host's. */
  readonly platform: string;
  /** Also when it is here. */
  readonly pull: boolean;
  readonly tell: (text: string) => void;
  readonly logins: LoginSource;
  readonly signal: AbortSignal;
}

/** What a build has to know of an image before its files. */
export type DescribedImage = Pick<Image, 'id' | 'config' | 'chainId' | 'digests'>;

/** A mount of one RUN. Sources are resolved in the root of where they come from. */
export type StepMount = { readonly target: string } & (
  | { readonly kind: 'tmpfs'; readonly sizeBytes: number | undefined }
  | { readonly kind: 'snapshot'; readonly on: Standing; readonly source: string; readonly writable: boolean }
  | { readonly kind: 'directory'; readonly root: number; readonly source: string; readonly readOnly: boolean }
  | {
      readonly kind: 'secret';
      readonly value: Uint8Array;
      readonly uid: number;
      readonly gid: number;
      readonly mode: number;
    }
  | {
      readonly kind: 'socket';
      readonly path: string;
      readonly uid: number;
      readonly gid: number;
      readonly mode: number;
    }
  | { readonly kind: 'host'; readonly source: string }
);

export interface StepRequest {
  readonly on: Standing;
  readonly args: readonly string[];
  /** Complete; also what the image does not keep. */
  readonly env: readonly string[];
  /** In memory only: neither record nor log has them. */
  readonly secretEnv: readonly string[];
  readonly user: string;
  readonly workdir: string;
  readonly hostname: string;
  readonly network: string;
  readonly privileged: boolean;
  readonly extraHosts: readonly string[];
  readonly securityOptions: readonly string[];
  readonly limits: StepLimits;
  readonly mounts: readonly StepMount[];
  /** Given to the command as its input. */
  readonly imageId: string;
  readonly started: (container: string) => void;
  readonly gone: (container: string) => void;
  readonly output: (stream: 1 | 2, bytes: Uint8Array) => void;
  readonly signal: AbortSignal;
}

export interface StepOutcomeOf {
  readonly exitCode: number;
  readonly oomKilled: boolean;
  /** The new state of the file system; undefined when the command failed. */
  readonly snapshot: string | undefined;
}

export interface Backend {
  /** Of this host: `linux/amd64`. */
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant: string };
  /** Architectures whose programs run here, by binfmt too. */
  runnable(architecture: string): boolean;
  /** From the store, else pulled. Errors: not-found naming it. */
  image(query: ImageQuery): Promise<Image>;
  /** Of one that is not here, without its layers; undefined: it is here, or only a pull can tell. */
  describe(query: ImageQuery): Promise<DescribedImage | undefined>;
  /** Runs a command in a container of the engine, on top of `on`. The container is gone when it settles. */
  run(request: StepRequest): Promise<StepOutcomeOf>;
  /** Errors: invalid-parameter for what is no signal. */
  checkSignal(text: string): void;
  /** `name`, `name:group`, ids; looked up in the files of the root. Errors: not-found. */
  resolveUser(root: number, user: string): { readonly uid: number; readonly gid: number };
  /**
   * A layer's tar as it is wished for; it takes the place of the other. What is compressed stays as it is unless the
   * wish says otherwise. Preconditions: `blob` is leased.
   */
  compress(
    blob: LayerBlob,
    wish: CompressionWish & { readonly diffId: DiffId },
    lease: ContentLease,
    signal: AbortSignal,
  ): Promise<LayerBlob>;
  /** An image was made, and named. */
  built(imageId: string, names: readonly string[]): void;
  /** Removes what nothing needs any more. */
  collect(): Promise<void>;
}
