/** What the parts of one build share: its request, the engine around it, and what is held until it ends. */
import type { ContentStore } from '#content/content-store.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import type { ImageStore } from '#image/image-store.ts';
import type { LayerStore } from '#layer/layer-store.ts';
import type { Standing } from '#layer/snapshots.ts';
import type { ArchiveStreams } from '#pkg/archive/copy-streams.ts';
import type { KeyedQueue } from '#pkg/keyed-queue/keyed-queue.ts';
import { close, open } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import type { Backend } from './backend.ts';
import type { StepCache } from './cache.ts';
import type { ImportedCache } from './cache/imported-cache.ts';
import type { CacheMounts } from './cache-mounts.ts';
import type { Chains } from './chains.ts';
import type { CopiedTrees } from './context/copied-trees.ts';
import type { KeptContexts } from './context/kept-contexts.ts';
import type { Flights } from './flights.ts';
import type { DigestResult } from './files/jobs.ts';
import type { FilesPool } from './files/files-pool.ts';
import type { Semaphore } from './semaphore.ts';
import type { BuildContext, BuildControl, BuildRequest } from './request.ts';
import type { StepSource } from './steps/source.ts';

export interface BuilderParts {
  readonly backend: Backend;
  readonly images: ImageStore;
  readonly layers: LayerStore;
  readonly content: ContentStore;
  readonly cache: StepCache;
  readonly cacheMounts: CacheMounts;
  readonly files: FilesPool;
  readonly contexts: KeptContexts;
  readonly trees: CopiedTrees;
  readonly archives: ArchiveStreams;
  /** Steps of all builds that are under way, by key. */
  readonly flights: Flights;
  /** Steps that run at once. */
  readonly slots: Semaphore;
  /** Builds that write into one directory of a cache do so one after the other. */
  readonly cacheWriters: KeyedQueue;
  /** Below it temporary directories are made; emptied at start-up. */
  readonly temporary: string;
  readonly now: () => Date;
}

export interface BuildSession extends BuilderParts {
  readonly request: BuildRequest;
  readonly control: BuildControl;
  /** Aborted when the client goes or another step fails. */
  readonly signal: AbortSignal;
  /** Snapshots, mounts and descriptors of this build; in reverse order at its end. */
  readonly held: DisposableStack;
  /** Snapshots whose tars are known without reading them back. */
  readonly placed: Map<string, { readonly list: string; readonly contents: number }>;
  /** What the Dockerfile names of the context, or of the one that `from` names; undefined: cannot be said. */
  readonly wantedSources: (from: string | undefined) => readonly string[] | undefined;
  /** Layers that are not here yet. */
  readonly chains: Chains;
  /** Results of steps from elsewhere. */
  readonly imported: ImportedCache;
  /** Digests of files of contexts, which several platforms ask for. */
  readonly digests: Map<string, Promise<DigestResult>>;
}

/** Files of the context, or of the one that `from` names. `more`: sources that may not be in the Dockerfile. */
export function sourceOfContext(
  session: BuildSession,
  context: BuildContext | undefined,
  from: string | undefined,
  more: readonly string[],
): StepSource {
  const { signal, request } = session;
  const planned = session.wantedSources(from);
  // Triggers of base images want what no Dockerfile says.
  const sources = more.every((source) => planned?.includes(source) === true) ? planned : undefined;
  const wanted = { sources, ignore: from === undefined ? request.ignore : [] };
  return {
    origin: undefined,
    isHere: () => true,
    /** Errors: invalid-parameter without a context. */
    root: async () => {
      if (context === undefined) throw invalidParameter('the build has no context: COPY and ADD need files');
      return (await context.files(wanted, signal)).root;
    },
    kept: async () => {
      const tree = await context?.kept?.(wanted, signal);
      return tree === undefined ? undefined : { tree, ignore: wanted.ignore };
    },
    on: async () => undefined,
  };
}

/** Read-only root of a state. It is open until the build ends. Preconditions: its layers are here (`chains.need`). */
export function rootOf(session: BuildSession, on: Standing): number {
  const { layers, held } = session;
  if (on.snapshot !== undefined) {
    held.use(layers.snapshots.hold(on.snapshot));
    return held.use(layers.mountSnapshot(on.snapshot)).fd;
  }
  if (on.base !== undefined) return held.use(layers.mount(on.base)).fd;
  return held.adopt(open(session.temporary, O.PATH | O.DIRECTORY), close);
}
