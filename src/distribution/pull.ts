/**
 * `pull`: a name becomes an image. Its layers are fetched, checked and unpacked at once (layer-transfers.ts); they are
 * recorded together when all are here, then the image with its names. What breaks off leaves nothing to see and is
 * continued by the next pull; what is cancelled leaves nothing at all.
 */
import { algorithmOf } from '#content/digest.ts';
import type { ProgressMessage } from '#api/types/image.ts';
import { type ContentStore, digestOf } from '#content/content-store.ts';
import type { ContentLease } from '#content/leases.ts';
import type { Descriptor, Platform } from '#content/descriptor.ts';
import { type BerthError, cancelled, dataLoss, invalidParameter } from '#errdefs/errors.ts';
import { collectUnused, makeRoom } from '#image/collect.ts';
import { CONFIG_BYTES_MAX, decodeImageConfig, type ImageConfigFile } from '#image/config.ts';
import type { ImageStore } from '#image/image-store.ts';
import { formatPlatform, hostPlatform, isPlatform } from '#image/platform.ts';
import { barMessage, type Tell } from '#image/progress.ts';
import { platformOfConfig } from '#image/variants.ts';
import { chainIds } from '#layer/chain-id.ts';
import type { LayerSource } from '#layer/register.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { canonicalString, familiarString, parseDigest, type Reference, withDigest } from '#reference/reference.ts';
import { readBlob } from '#registry/blobs.ts';
import type { Credentials } from '#registry/credentials.ts';
import type { RegistryClient, Repository, Session } from '#registry/registry-client.ts';
import type { BlobSources } from './blob-sources.ts';
import type { LayerShare, LayerTransfers } from './layer-transfers.ts';
import { translatePull } from './pull-failures.ts';
import { PullProgress, shortDigest } from './pull-progress.ts';
import { type ChosenManifest, choosePlatform, type FoundDocument, resolveTop } from './resolve.ts';

export interface PullMeans {
  readonly registry: RegistryClient;
  readonly images: ImageStore;
  readonly content: ContentStore;
  readonly transfers: LayerTransfers;
  readonly sources: BlobSources;
  /**
   * Asked before anything but manifests is fetched; refuses by throwing (trust). `digests`: of what the name stands for,
   * and of the manifest of the platform.
   */
  readonly admit: (pulled: {
    readonly reference: Reference;
    readonly digests: readonly string[];
    readonly repository: Repository;
  }) => Promise<void>;
}

export interface PullInput {
  /** With a tag or a digest. */
  readonly reference: Reference;
  /** Where it is asked for; else the name says it. */
  readonly location?: Reference | undefined;
  /** Undefined: what serves this host best. */
  readonly platform: Platform | undefined;
  readonly credentials: Credentials;
  readonly tell: Tell;
  readonly signal: AbortSignal | undefined;
  /** One of several: how it ended is told of all together. */
  readonly ofAllTags?: boolean;
}

export const pullStatus = (isNew: boolean, name: string): ProgressMessage => ({
  status: `Status: ${isNew ? 'Downloaded newer image' : 'Image is up to date'} for ${name}`,
});

export interface PulledImage {
  readonly id: string;
  /** Familiar: `busybox:latest`. */
  readonly name: string;
  /** Of the manifest or index that the name stands for. */
  readonly digest: string;
  readonly isNew: boolean;
}

/** Errors: not-found, unauthorized, unavailable, data-loss …, in dockerd's words where it has any; cancelled. */
export async function pullImage(means: PullMeans, input: PullInput): Promise<PulledImage> {
  const { reference, tell } = input;
  const wanted = reference.digest ?? reference.tag ?? 'latest';
  try {
    const waiting = (seconds: number, reason: string): void => {
      const status = `Retrying in ${Math.ceil(seconds)} seconds: ${reason}`;
      void tell({ status, id: wanted }).catch(() => undefined);
    };
    const { domain, path } = input.location ?? reference;
    const options = { credentials: input.credentials, signal: input.signal, waiting };
    const repository = await means.registry.repository(domain, path, options);
    return await new Pull(means, input, repository).run(wanted);
  } catch (error) {
    throw translatePull(error, reference);
  }
}

class Pull {
  readonly #means: PullMeans;
  readonly #input: PullInput;
  readonly #repository: Repository;

  constructor(means: PullMeans, input: PullInput, repository: Repository) {
    this.#means = means;
    this.#input = input;
    this.#repository = repository;
  }

  async run(wanted: string): Promise<PulledImage> {
    const { content, images } = this.#means;
    const { reference, tell, signal } = this.#input;
    const name = familiarString(reference);
    const key = `pull ${canonicalString(reference)} ${this.#platformName()}`;
    using lease = content.lease({ purpose: key, key });
    await makeRoom(images);
    try {
      const top = await resolveTop(this.#repository, reference, content);
      const id = reference.digest === undefined ? wanted : canonicalString(withDigest(reference, reference.digest));
      await tell({ status: `Pulling from ${reference.path}`, id });
      const platform = this.#input.platform ?? hostPlatform();
      const chosen = await choosePlatform(this.#repository, reference, top, { content, lease, platform });
      await this.#admit(top, chosen, lease);
      const config = await this.#config(chosen, lease);
      checkOs(config.file);
      const before = images.lookup(reference);
      await this.#layers(chosen, config.file, lease, async () => {
        await images.createNamed([
          {
            target: top.descriptor,
            images: [{ config: config.bytes, manifest: chosen.descriptor }],
            references: this.#names(top.descriptor.digest),
          },
        ]);
        failpoint('pull.recorded');
      });
      lease.done();
      const image = digestOf(config.bytes);
      const isNew = before !== image;
      await tell({ status: `Digest: ${top.descriptor.digest}` });
      if (this.#input.ofAllTags !== true) await tell(pullStatus(isNew, name));
      await this.#warnOfPlatform(config.file);
      return { id: image, name, digest: top.descriptor.digest, isNew };
    } catch (error) {
      // Nobody will continue what its user has stopped, or what did not begin.
      if (signal?.aborted === true || lease.digests().length === 0) lease.done();
      await collectUnused(images);
      throw error;
    }
  }

  async #admit(top: FoundDocument, chosen: ChosenManifest, lease: ContentLease): Promise<void> {
    const { reference } = this.#input;
    const digests = [top.descriptor.digest, chosen.descriptor.digest];
    try {
      await this.#means.admit({ reference, digests, repository: this.#repository });
    } catch (error) {
      // Nobody continues what is not let in.
      lease.done();
      throw error;
    }
  }

  #platformName(): string {
    return this.#input.platform === undefined ? '' : formatPlatform(this.#input.platform);
  }

  /** A tag is also known by the digest that it stood for. */
  #names(digest: string): Reference[] {
    const { reference } = this.#input;
    const byDigest = withDigest(reference, parseDigest(digest));
    return reference.digest === undefined ? [reference, byDigest] : [byDigest];
  }

  async #config(chosen: ChosenManifest, lease: ContentLease): Promise<{ bytes: Buffer; file: ImageConfigFile }> {
    const { content } = this.#means;
    const { digest, size } = chosen.document.config;
    if (size > CONFIG_BYTES_MAX) throw dataLoss(`invalid image manifest: the configuration has ${size} bytes`);
    lease.add(digest);
    const bytes = content.has(digest)
      ? content.read(digest, CONFIG_BYTES_MAX)
      : await readBlob(this.#repository, { digest, size }, chosen.session);
    if (digestOf(bytes, algorithmOf(digest)) !== digest)
      throw dataLoss(`image config verification failed for digest ${digest}`);
    const file = decodeImageConfig(bytes);
    const { layers } = chosen.document;
    if (file.rootfs.diff_ids.length !== layers.length) {
      throw dataLoss(
        `invalid manifest, layers length mismatch: expected ${file.rootfs.diff_ids.length}, got ${layers.length}`,
      );
    }
    await content.put(bytes, lease, algorithmOf(digest));
    return { bytes, file };
  }

  /** Of an image alone nobody has chosen; that it does not meet the wish is told, as by Docker, when it is here. */
  async #warnOfPlatform(config: ImageConfigFile): Promise<void> {
    const { platform: wanted, reference, tell } = this.#input;
    const actual = platformOfConfig(config);
    if (wanted === undefined || isPlatform(wanted, actual)) return;
    const status =
      `WARNING: image with reference ${familiarString(reference)} was found but its platform ` +
      `(${formatPlatform(actual)}) does not match the specified platform (${formatPlatform(wanted)})`;
    await tell({ status });
  }

  /** `record` runs while the layers are recorded and leased. */
  async #layers(
    chosen: ChosenManifest,
    config: ImageConfigFile,
    lease: ContentLease,
    record: () => Promise<void>,
  ): Promise<void> {
    const { images, sources } = this.#means;
    const { tell, signal } = this.#input;
    const { layers } = chosen.document;
    const diffIds = config.rootfs.diff_ids;
    const chain = chainIds(diffIds);
    using layerLease = images.layers.lease();
    for (const chainId of chain) layerLease.add(chainId);
    for (const { digest } of layers) lease.add(digest);
    const known = chain.findLastIndex((chainId) => images.layers.get(chainId) !== undefined);
    // Of an image that is here under another name nothing is told.
    const isHere = known === chain.length - 1 && images.has(chosen.document.config.digest);
    for (const [i, { digest }] of isHere ? [] : layers.entries()) {
      const id = shortDigest(digest);
      await tell({ status: i <= known ? 'Already exists' : 'Pulling fs layer', progressDetail: {}, id });
    }
    await using shares = new Shares(this.#means.transfers, signal);
    const begun = layers.map((layer, i) =>
      i <= known ? undefined : shares.add({ layer, key: chain[i] ?? '', ...this.#where(chosen.session) }),
    );
    const told = begun.flatMap((share, i) => {
      const layer = layers[i];
      return share === undefined || layer === undefined
        ? []
        : [{ id: shortDigest(layer.digest), size: layer.size, state: () => share.state() }];
    });
    {
      await using _progress = new PullProgress(tell, told);
      await shares.all();
    }
    const stack: LayerSource[] = [];
    for (const [i, diffId] of diffIds.entries()) {
      const share = begun[i];
      stack.push(
        share === undefined ? { diffId, file: '' } : { diffId, file: share.file(), prepared: await share.prepared },
      );
    }
    for (const { id, size } of told) await tell(barMessage('Extracting', id, size, size));
    await images.layers.register(stack, {
      lease: layerLease,
      signal,
      keep: async (files) => {
        failpoint('pull.layers-on-disk');
        const { content } = this.#means;
        // Those that were unpacked from where they are kept stay there.
        await content.keep(
          files.filter(({ file, digest }) => file !== content.path(digest)),
          lease,
        );
      },
    });
    for (const { id } of told) await tell({ status: 'Pull complete', progressDetail: {}, id });
    sources.note(
      this.#repository,
      layers.map(({ digest }) => digest),
    );
    await record();
  }

  #where(first: Session | undefined): { repository: Repository; sessions: readonly Session[] } {
    return { repository: this.#repository, sessions: this.#repository.sessions('pull', first) };
  }
}

/** The layers of one pull: one that fails stops the others. */
class Shares implements AsyncDisposable {
  readonly #transfers: LayerTransfers;
  readonly #signal: AbortSignal | undefined;
  readonly #shares: LayerShare[] = [];

  constructor(transfers: LayerTransfers, signal: AbortSignal | undefined) {
    this.#transfers = transfers;
    this.#signal = signal;
  }

  add(wish: {
    readonly layer: Descriptor;
    readonly key: string;
    readonly repository: Repository;
    readonly sessions: readonly Session[];
  }): LayerShare {
    const { layer, key, repository, sessions } = wish;
    const { digest, size } = layer;
    const share = this.#transfers.share({ key, blob: { path: repository.path, digest, size }, repository, sessions });
    this.#shares.push(share);
    return share;
  }

  /** Errors: of the first that fails; cancelled. */
  async all(): Promise<void> {
    const stopped = Promise.withResolvers<never>();
    stopped.promise.catch(() => undefined);
    const abort = (): void => stopped.reject(cancelledPull());
    if (this.#signal?.aborted === true) abort();
    this.#signal?.addEventListener('abort', abort, { once: true });
    try {
      await Promise.race([Promise.all(this.#shares.map((share) => share.prepared)), stopped.promise]);
    } finally {
      this.#signal?.removeEventListener('abort', abort);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#signal?.aborted === true) for (const share of this.#shares) share.drop();
    await Promise.all(this.#shares.map((share) => share[Symbol.asyncDispose]()));
  }
}

const cancelledPull = (): BerthError => cancelled('context canceled');
function checkOs(config: ImageConfigFile): void {
  const { os } = platformOfConfig(config);
  if (os !== '' && os !== 'linux') throw noOs(os);
}

const noOs = (os: string): BerthError =>
  invalidParameter(`image operating system "${os}" cannot be used on this platform`);
