/**
 * What the daemon does with registries, in one place: pull, push, log in, look up, search. One per data root. It holds
 * the Workers that fetch layers, which exist only while something is fetched.
 */
import type { ContentStore } from '#content/content-store.ts';
import type { Platform } from '#content/descriptor.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import type { ImageStore } from '#image/image-store.ts';
import type { Tell } from '#image/progress.ts';
import { familiarString, type Reference, withDefaultTag, withTag } from '#reference/reference.ts';
import { anonymous, type Credentials } from '#registry/credentials.ts';
import { listTags } from '#registry/manifests.ts';
import { RegistryClient, type Repository } from '#registry/registry-client.ts';
import type { RegistrySettings } from '#registry/settings.ts';
import { BlobSources } from './blob-sources.ts';
import { bringBlobs, type BringOptions, droppedLayers } from './bring-blobs.ts';
import { LayerTransfers } from './layer-transfers.ts';
import { type PulledImage, type PullInput, pullImage, type PullMeans, pullStatus } from './pull.ts';
import { translatePull } from './pull-failures.ts';
import { pushImage, type PushInput } from './push.ts';
import { TransferPool } from './transfer-pool.ts';

export interface DistributionOptions {
  readonly images: ImageStore;
  readonly content: ContentStore;
  readonly db: GraphDb;
  /** As it is configured now. */
  readonly settings: () => RegistrySettings;
  readonly admit?: PullMeans['admit'];
}

export interface PullRequest {
  readonly reference: Reference;
  /** Where it is asked for; else the name says it. */
  readonly location?: Reference | undefined;
  readonly allTags?: boolean;
  readonly platform?: Platform | undefined;
  readonly credentials?: Credentials;
  readonly tell?: Tell;
  readonly signal?: AbortSignal | undefined;
}

export class Distribution {
  readonly registry: RegistryClient;
  readonly #pool = new TransferPool();
  /** For what is pulled and pushed that is no image (build-cache.ts). */
  readonly means: PullMeans;

  constructor(options: DistributionOptions) {
    const { images, content, db, settings } = options;
    this.registry = new RegistryClient(settings);
    const transfers = new LayerTransfers({
      content,
      layers: images.layers,
      pool: this.#pool,
      downloadsMax: () => Math.max(1, settings().downloadsMax),
    });
    const admit = options.admit ?? (async () => undefined);
    const isMissed = (digest: string): boolean =>
      !content.has(digest) && images.layers.list().some(({ blob }) => blob.digest === digest);
    const sources = new BlobSources(db, { isMissed });
    this.means = { registry: this.registry, images, content, transfers, sources, admit };
  }

  /** Of a name without tag `latest`, or all its tags. Errors: see pull.ts; of several tags the first that fails ends it. */
  async pull(request: PullRequest): Promise<PulledImage[]> {
    const { reference, credentials = anonymous, signal, platform, tell = async () => undefined } = request;
    const { location } = request;
    const input = { platform, credentials, tell, signal, location } satisfies Omit<PullInput, 'reference'>;
    if (request.allTags !== true)
      return [await pullImage(this.means, { ...input, reference: withDefaultTag(reference) })];
    const pulled: PulledImage[] = [];
    for (const tag of await this.#tags(reference, input)) {
      pulled.push(await pullImage(this.means, { ...input, reference: withTag(reference, tag), ofAllTags: true }));
    }
    await tell(
      pullStatus(
        pulled.some(({ isNew }) => isNew),
        familiarString(reference),
      ),
    );
    return pulled;
  }

  push(input: PushInput): Promise<void> {
    return pushImage(this.means, input);
  }

  /**
   * Archives of these images' layers that were dropped come again. Errors: system naming the registries; cancelled.
   */
  async bring(images: Parameters<typeof droppedLayers>[1], options: BringOptions): Promise<void> {
    const missing = droppedLayers(this.means.images, images);
    if (missing.length > 0) await bringBlobs(this.means, missing, options);
  }

  /** For what is asked of a registry directly. */
  repository(reference: Reference, credentials: Credentials, signal: AbortSignal | undefined): Promise<Repository> {
    return this.registry.repository(reference.domain, reference.path, { credentials, signal });
  }

  close(): void {
    this.#pool.close();
  }

  async #tags(reference: Reference, input: Omit<PullInput, 'reference'>): Promise<string[]> {
    try {
      return await listTags(await this.repository(input.location ?? reference, input.credentials, input.signal));
    } catch (error) {
      throw translatePull(error, reference);
    }
  }
}
