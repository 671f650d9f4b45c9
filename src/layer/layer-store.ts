/**
 * Layers: read-only ones by ChainId, each a directory of the graph driver and a record, and one read-write layer per
 * container. The record is what makes a layer exist: it is written after its files are on the disk, so a directory
 * without a record is garbage (a read-write one is set aside, since a program may have fsynced into it).
 *
 * References are not counted but looked up: a layer is needed while an image, a read-write layer, another layer or a
 * lease (work under way) names it. `collect` removes the rest.
 */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { conflict, notFound } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import type { ProjectIds } from '#graphdb/project-ids.ts';
import type { GraphDriver, LayerMount, MountOptions } from '#graphdriver/driver.ts';
import type { ArchivePool } from '#pkg/archive/pool.ts';
import { KeyedQueue } from '#pkg/keyed-queue/keyed-queue.ts';
import { log } from '#pkg/log/log.ts';
import type { ArchiveResult } from '#pkg/archive/jobs.ts';
import type { ChainId, DiffId } from './chain-id.ts';
import { LayerLimits } from './limits.ts';
import {
  decodeLayer,
  decodeReadWrite,
  encodeLayer,
  encodeReadWrite,
  type Layer,
  LAYER_KIND,
  type LayerBlob,
  READ_WRITE_KIND,
  type ReadWriteRecord,
} from './records.ts';
import { adoptSnapshots, type CapturedSnapshot } from './adopt.ts';
import { captureLayer, captureMerged, captureSnapshot, type Merging } from './capture.ts';
import { isOfPair, removeRetired } from './pairs.ts';
import { type ReadWriteLayer, readWriteLayer, type ReadWriteOptions } from './read-write.ts';
import { assembleLayer, packAgain } from './tars-again.ts';
import { type Snapshot, Snapshots } from './snapshots.ts';
import {
  type LayerSource,
  type PreparedLayer,
  measureLayer,
  type FillLayer,
  prepareLayer,
  prepareLayerBy,
  type RegisterOptions,
  registerLayers,
} from './register.ts';

/** Keeps layers that no image names yet from being collected. */
export interface LayerLease extends Disposable {
  add(chainId: ChainId): void;
}

export interface LayerStoreOptions {
  readonly driver: GraphDriver;
  readonly db: GraphDb;
  readonly pool: ArchivePool;
  /** Where read-write layers without a record go. */
  readonly lostAndFound: string;
  readonly projects: ProjectIds;
  /** See `assemble`. */
  readonly recordsTars?: () => boolean;
  /** Of the running kernel: what builds have made and not synced is not trusted after a reboot. */
  readonly bootId?: string;
}

export class LayerStore {
  readonly #driver: GraphDriver;
  readonly #db: GraphDb;
  readonly #pool: ArchivePool;
  readonly #lostAndFound: string;
  /** Every read-only layer; the database has the same. */
  readonly #layers = new Map<ChainId, Layer>();
  readonly #leases = new Set<Set<ChainId>>();
  readonly #registering = new KeyedQueue();
  readonly #limits: LayerLimits;
  readonly #recordsTars: () => boolean;
  /** What builds have made. */
  readonly snapshots: Snapshots;

  private constructor(options: LayerStoreOptions) {
    this.#driver = options.driver;
    this.#db = options.db;
    this.#pool = options.pool;
    this.#lostAndFound = options.lostAndFound;
    this.#recordsTars = options.recordsTars ?? (() => false);
    this.#limits = new LayerLimits(options.driver.home, options.projects);
    this.snapshots = new Snapshots({ db: options.db, driver: options.driver, bootId: options.bootId ?? '' });
  }

  /** Reads the records. Call `reconcile` once before the first change. */
  static open(options: LayerStoreOptions): LayerStore {
    const store = new LayerStore(options);
    for (const { id, document } of options.db.list(LAYER_KIND)) {
      const layer = decodeLayer(id, document);
      store.#layers.set(layer.chainId, layer);
    }
    return store;
  }

  /** Off this thread; see ArchivePool.inflate. */
  inflate(file: string, to: string, options: { readonly signal?: AbortSignal | undefined }): Promise<void> {
    return this.#pool.inflate(file, to, options);
  }

  get driverName(): 'overlay' | 'vfs' {
    return this.#driver.name;
  }

  driverStatus(): [string, string][] {
    return this.#driver.status();
  }

  get(chainId: ChainId): Layer | undefined {
    return this.#layers.get(chainId);
  }

  list(): Layer[] {
    return [...this.#layers.values()];
  }

  /** The layer and all below it, topmost first. */
  chain(chainId: ChainId | undefined): Layer[] {
    const chain: Layer[] = [];
    for (let id = chainId; id !== undefined; ) {
      const layer = this.#layers.get(id);
      if (layer === undefined) throw notFound(`No such layer: ${id}`);
      chain.push(layer);
      id = layer.parent;
    }
    return chain;
  }

  /** Bytes of regular files of the layer and all below it. */
  chainSize(chainId: ChainId | undefined): number {
    return this.chain(chainId).reduce((sum, layer) => sum + layer.size, 0);
  }

  metadata(chainId: ChainId): Record<string, string> {
    const layer = this.#layers.get(chainId);
    if (layer === undefined) throw notFound(`No such layer: ${chainId}`);
    return this.#driver.metadata(layer.cacheId);
  }

  /** The tar of layers is kept in another form from now on. Preconditions: the new blob is in the content store. */
  async replaceBlob(digest: string, blob: LayerBlob): Promise<void> {
    const changed = this.list()
      .filter((layer) => layer.blob.digest === digest)
      .map((layer) => ({ ...layer, blob }));
    this.#db.transaction(() => {
      for (const layer of changed) this.#db.put(LAYER_KIND, layer.chainId, encodeLayer(layer));
    });
    for (const layer of changed) this.#layers.set(layer.chainId, layer);
    await this.#db.flush();
  }

  /** Read-only detached mount of an image's file system, with the maps of a user namespace where one is given. */
  mount(chainId: ChainId, options?: MountOptions): LayerMount {
    const layer = this.#layers.get(chainId);
    if (layer === undefined) throw notFound(`No such layer: ${chainId}`);
    return this.#driver.mount(layer.cacheId, options);
  }

  lease(): LayerLease {
    const held = new Set<ChainId>();
    this.#leases.add(held);
    return {
      add: (chainId) => void held.add(chainId),
      [Symbol.dispose]: () => void this.#leases.delete(held),
    };
  }

  /** Begins to unpack a layer whose place in a stack is not known yet; see register.ts. */
  async prepare(file: string, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<PreparedLayer> {
    const means = { driver: this.#driver, pool: this.#pool, recordsTars: this.#recordsTars() };
    const { size } = await fs.promises.stat(file);
    // Perhaps it is here already: hashing costs a tenth of unpacking.
    if (this.list().some((layer) => layer.blob.size === size)) {
      const measured = await measureLayer(means, file, options.signal);
      if (this.list().some((layer) => layer.blob.digest === measured.result.blobDigest)) return measured;
    }
    return prepareLayer(means, file, options.signal);
  }

  /**
   * As `prepare`, for a layer whose files come by another way: `fill` puts them into the directory; undefined where the
   * driver needs the parent first, then it only measures and the file is read when the layer is registered.
   */
  async prepareBy(fill: FillLayer): Promise<PreparedLayer> {
    return prepareLayerBy({ driver: this.#driver, recordsTars: this.#recordsTars() }, fill);
  }

  /**
   * Makes a stack's missing layers, in parallel where the driver can, records them after one sync, and answers the
   * stack bottom first. Errors: data-loss when a layer is not what its DiffId says; nothing stays then.
   */
  async register(sources: readonly LayerSource[], options: RegisterOptions): Promise<Layer[]> {
    return registerLayers(
      {
        driver: this.#driver,
        pool: this.#pool,
        recordsTars: this.#recordsTars(),
        existing: (chainId) => this.#layers.get(chainId),
        record: (layers) => this.#record(layers),
        exclusive: (work) => this.#registering.run('register', work),
      },
      sources,
      options,
    );
  }

  /**
   * A container's own files as a layer that is not registered yet; its tar goes to `file`, which does not exist. `skip`:
   * absolute paths that are not the container's doing. Preconditions: the container's layer stays until this is over.
   */
  async capture(
    containerId: string,
    file: string,
    options: { readonly skip: ReadonlySet<string>; readonly signal?: AbortSignal | undefined },
  ): Promise<PreparedLayer> {
    return captureLayer({ driver: this.#driver, pool: this.#pool }, containerId, file, options);
  }

  /** Errors: invalid-parameter when containers' layers cannot be limited here. */
  assertLimitPossible(): void {
    this.#limits.assertPossible();
  }

  /**
   * Makes a container's layer, of at most `sizeBytes` where that is given. Errors: conflict when it has one; not-found
   * when the image's layers are missing; invalid-parameter when a limit cannot be set here.
   */
  async createReadWrite(
    containerId: string,
    chainId: ChainId | undefined,
    { sizeBytes, snapshot, over, ofBuild = false }: ReadWriteOptions = {},
  ): Promise<ReadWriteLayer> {
    if (this.#db.get(READ_WRITE_KIND, containerId) !== undefined || this.#driver.exists(containerId)) {
      throw conflict(`Cannot make the layer of container "${containerId}": it exists`);
    }
    const standing = over ?? snapshot;
    const parent = standing === undefined ? this.#cacheIdOf(chainId) : this.snapshots.need(standing).id;
    const limit = sizeBytes === undefined ? undefined : this.#limits.directoryLimit(containerId, sizeBytes);
    // The intent first: a directory that a crash leaves has a record by which it is found and removed.
    this.#db.put(READ_WRITE_KIND, containerId, encodeReadWrite({ chainId, snapshot, over, ofBuild }));
    try {
      await this.#driver.createReadWrite(containerId, parent, limit);
    } catch (error) {
      this.#limits.release(containerId);
      this.#db.delete(READ_WRITE_KIND, containerId);
      throw error;
    }
    return this.#readWriteOf(containerId, chainId);
  }

  readWrite(containerId: string): ReadWriteLayer | undefined {
    const document = this.#db.get(READ_WRITE_KIND, containerId);
    if (document === undefined) return undefined;
    return this.#readWriteOf(containerId, decodeReadWrite(containerId, document).chainId);
  }

  /** What a read-write layer stands on, and whether it is a build's. */
  readWriteRecord(containerId: string): ReadWriteRecord | undefined {
    const document = this.#db.get(READ_WRITE_KIND, containerId);
    return document === undefined ? undefined : decodeReadWrite(containerId, document);
  }

  /**
   * A read-write layer becomes a snapshot of the same id. Preconditions: its mounts are closed, and nothing that is not
   * the step's is in it.
   */
  sealReadWrite(id: string): Snapshot {
    const record = this.readWriteRecord(id);
    if (record === undefined) throw notFound(`No such read-write layer: ${id}`);
    this.#driver.seal(id);
    this.#limits.release(id);
    const on = { snapshot: record.snapshot, base: record.chainId, over: record.over };
    return this.snapshots.record(id, on, () => this.#db.delete(READ_WRITE_KIND, id));
  }

  /** Read-only mount of a snapshot's file system. */
  mountSnapshot(id: string): LayerMount {
    return this.#driver.mount(this.snapshots.need(id).id);
  }

  /** Bytes of files that a snapshot brings. */
  snapshotSize(id: string): Promise<number> {
    return this.#driver.diffSize(this.snapshots.need(id).id);
  }

  /** The tar of what a snapshot brings; with `secondsMax` no time in it is later, so it is not the snapshot's any more. */
  captureSnapshot(id: string, file: string, signal?: AbortSignal, secondsMax?: number): Promise<ArchiveResult> {
    const means = { driver: this.#driver, pool: this.#pool };
    return captureSnapshot(means, this.snapshots.need(id), { file, signal, secondsMax });
  }

  /**
   * Writes the tar of a layer whose tar was measured and not kept, byte for byte. Errors: data-loss when its files are
   * not what they were.
   */
  async packAgain(layer: Layer, file: string, signal: AbortSignal | undefined): Promise<void> {
    const means = { driver: this.#driver, pool: this.#pool };
    await packAgain(means, layer, { file, over: this.snapshots.get(layer.cacheId)?.over, signal });
  }

  /**
   * Makes the tar of a layer again of its files and what was recorded when they were unpacked (`recordsTars`). False when
   * nothing was. Errors: data-loss when the files are not what they were. Preconditions: the layer is leased.
   */
  assemble(layer: Layer, file: string, signal: AbortSignal | undefined): Promise<boolean> {
    return assembleLayer({ driver: this.#driver, pool: this.#pool }, layer, file, signal);
  }

  /** The tar of what several layers or snapshots bring together. Preconditions: they stay until this is over. */
  captureMerged(
    merging: Merging,
    file: string,
    options: { readonly signal?: AbortSignal | undefined; readonly secondsMax: number | undefined },
  ): Promise<ArchiveResult> {
    const ids = merging.ids.flatMap((id) => {
      const over = this.snapshots.get(id)?.over;
      return over === undefined ? [id] : [over, id];
    });
    return captureMerged({ driver: this.#driver, pool: this.#pool }, { ...merging, ids }, file, options);
  }

  /** Snapshots become layers above the stack `below`; see adopt.ts. Answers the layers of `made`, bottom first. */
  adopt(
    below: readonly DiffId[],
    made: readonly CapturedSnapshot[],
    options: Pick<RegisterOptions, 'lease' | 'keep'>,
  ): Promise<Layer[]> {
    const means = {
      driver: this.#driver,
      snapshots: this.snapshots,
      existing: (chainId: ChainId) => this.#layers.get(chainId),
      ofSnapshot: (id: string) => this.layerOfSnapshot(id),
      record: (layers: readonly Layer[]) => this.#record(layers),
    };
    return this.#registering.run('register', () => adoptSnapshots(means, below, made, options));
  }

  /** The layer that a snapshot has become. */
  layerOfSnapshot(id: string): Layer | undefined {
    return this.list().find((layer) => layer.cacheId === id);
  }

  /** Errors: conflict while something stands on it. The layer that it has become stays. */
  async removeSnapshot(id: string): Promise<void> {
    const isUsed = this.readWriteIds().some((other) => {
      const record = this.readWriteRecord(other);
      return record?.snapshot === id || record?.over === id;
    });
    if (isUsed) throw conflict(`snapshot "${id}" is in use`);
    if (this.#isOfPair(this.snapshots.need(id))) {
      // Goes with the last layer that is made of it.
      if (this.snapshots.hasChildren(id) || this.snapshots.isHeld(id)) throw conflict(`snapshot "${id}" is in use`);
      // What is below it the layer needs, if it is one.
      this.snapshots.change(id, { retired: true, parent: undefined, base: this.layerOfSnapshot(id)?.parent });
      return;
    }
    this.snapshots.forget(id);
    if (this.layerOfSnapshot(id) === undefined) await this.#driver.remove(id);
    await this.#removeRetired();
  }

  #isOfPair(snapshot: Snapshot): boolean {
    return isOfPair(this.snapshots, snapshot, (id) => this.layerOfSnapshot(id) !== undefined);
  }

  #removeRetired(): Promise<void> {
    return removeRetired(this.snapshots, this.#driver, (id) => this.layerOfSnapshot(id) !== undefined);
  }

  /** Containers that have a layer. */
  readWriteIds(): string[] {
    return this.#db.list(READ_WRITE_KIND).map((entity) => entity.id);
  }

  /** Removes a container's layer; idempotent. Preconditions: its mounts are closed. */
  async releaseReadWrite(containerId: string): Promise<void> {
    // A build has kept it as its result.
    if (this.snapshots.get(containerId) !== undefined) return;
    // The directory first: without it the record means nothing, without the record it would be set aside as lost.
    await this.#driver.remove(containerId);
    this.#limits.release(containerId);
    this.#db.delete(READ_WRITE_KIND, containerId);
  }

  /** Gives the room of what was released back now instead of soon. */
  emptyTrash(): Promise<void> {
    return this.#driver.emptyTrash();
  }

  /** Removes every layer that `needed`, a read-write layer or a lease does not lead to; the removed ones, topmost first. */
  async collect(needed: Iterable<ChainId>): Promise<Layer[]> {
    const keep = new Set<ChainId>();
    const mark = (chainId: ChainId): void => {
      for (let id: ChainId | undefined = chainId; id !== undefined && !keep.has(id); ) {
        keep.add(id);
        id = this.#layers.get(id)?.parent;
      }
    };
    for (const chainId of needed) mark(chainId);
    for (const lease of this.#leases) for (const chainId of lease) mark(chainId);
    for (const { id, document } of this.#db.list(READ_WRITE_KIND)) {
      const { chainId } = decodeReadWrite(id, document);
      if (chainId !== undefined) mark(chainId);
    }
    for (const { base } of this.snapshots.list()) if (base !== undefined) mark(base);
    const gone = [...this.#layers.values()].filter((layer) => !keep.has(layer.chainId));
    const depth = (layer: Layer): number => this.chain(layer.chainId).length;
    const ordered = gone.map((layer) => ({ layer, depth: depth(layer) })).sort((a, b) => b.depth - a.depth);
    // Records first: a directory without one is garbage, a record without a directory would be a broken layer.
    this.#db.transaction(() => {
      for (const { layer } of ordered) this.#db.delete(LAYER_KIND, layer.chainId);
    });
    for (const { layer } of ordered) this.#layers.delete(layer.chainId);
    // A build's result goes on as its snapshot.
    const files = ordered.filter(({ layer }) => this.snapshots.get(layer.cacheId) === undefined);
    for (const { layer } of files) await this.#driver.remove(layer.cacheId);
    await this.#removeRetired();
    return ordered.map(({ layer }) => layer);
  }

  /** At start-up: temporary names and unrecorded layers go, unknown read-write layers are set aside. */
  async reconcile(): Promise<void> {
    await this.#driver.sweep();
    this.#limits.sweep(new Set(this.readWriteIds()));
    const known = new Set<string>([...this.#layers.values()].map((layer) => layer.cacheId));
    for (const id of this.readWriteIds()) known.add(id);
    this.snapshots.dropIncomplete((id) => known.has(id));
    for (const { id } of this.snapshots.list()) known.add(id);
    for (const id of this.#driver.list()) {
      if (known.has(id)) continue;
      if (this.#driver.isReadWrite(id)) {
        log.warn('a container layer without a record was set aside', { id, directory: this.#lostAndFound });
        this.#driver.setAside(id, path.join(this.#lostAndFound, 'layers'));
      } else {
        log.info('removing a layer that was never recorded', { id });
        await this.#driver.remove(id);
      }
    }
    for (const layer of this.list()) {
      if (!this.#driver.exists(layer.cacheId)) {
        log.error('the files of a recorded layer are missing', { layer: layer.chainId, directory: layer.cacheId });
      }
    }
  }

  #cacheIdOf(chainId: ChainId | undefined): string | undefined {
    if (chainId === undefined) return undefined;
    const layer = this.#layers.get(chainId);
    if (layer === undefined) throw notFound(`No such layer: ${chainId}`);
    return layer.cacheId;
  }

  /** What a power failure takes of it was not relied on yet: the image's record comes later and reaches the disk with it. */
  #record(layers: readonly Layer[]): void {
    this.#db.transaction(() => {
      for (const layer of layers) {
        assert(!this.#layers.has(layer.chainId), 'a layer is recorded once');
        this.#db.put(LAYER_KIND, layer.chainId, encodeLayer(layer));
      }
    });
    for (const layer of layers) this.#layers.set(layer.chainId, layer);
  }

  #readWriteOf(containerId: string, chainId: ChainId | undefined): ReadWriteLayer {
    return readWriteLayer(this.#driver, { containerId, chainId }, () => this.chainSize(chainId));
  }
}
