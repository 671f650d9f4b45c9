/**
 * Named places for data that outlive containers. Anonymous ones have 64 hex digits for a name and go with their container
 * (`rm -v`, `--rm`) only. Where the data lies is the driver's: `local` (local.ts), or a plugin.
 *
 * Invariants: a local volume is recorded, durably, before its directory exists and forgotten before it goes; a directory
 * without a record is never deleted but moved to lost+found (a power failure may forget a record, not the data). Which
 * containers use a volume, and for which of them its driver was asked to mount it, are edges of graphdb, so that both are
 * true after any crash. Work on one volume runs in the order it was asked for.
 */
import { randomBytes } from 'node:crypto';
import type { Volume } from '#api/types/volume.ts';
import { conflict, invalidParameter, notFound } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { KeyedQueue } from '#pkg/keyed-queue/keyed-queue.ts';
import { log } from '#pkg/log/log.ts';
import { checkVolumeName } from '#pkg/names/volume-name.ts';
import type { VolumeDrivers } from './driver.ts';
import { driverFor, naming } from './driver-call.ts';
import type { LocalVolumes } from './local.ts';
import { checkLocalOptions, type DriverOptions, sizeOf } from './local-options.ts';
import { needsMount, VolumeMounts } from './mounts.ts';
import type { VolumeQuota } from './quota.ts';
import {
  ANONYMOUS_LABEL,
  decodeVolume,
  LOCAL_DRIVER,
  MOVE_KIND,
  REMOVAL_KIND,
  usersOf,
  VOLUME_KIND,
  type VolumeRecord,
} from './records.ts';

export interface VolumeRequest {
  /** '' is an anonymous one. */
  readonly name: string;
  /** '' is `local`, or whatever driver has it already. */
  readonly driver?: string;
  readonly options?: DriverOptions;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface VolumesOptions {
  readonly local: LocalVolumes;
  readonly db: GraphDb;
  readonly drivers: VolumeDrivers;
  readonly quota: VolumeQuota;
}

export class Volumes {
  readonly #quota: VolumeQuota;
  readonly #local: LocalVolumes;
  readonly #db: GraphDb;
  readonly #drivers: VolumeDrivers;
  readonly #queue = new KeyedQueue();
  readonly #mounts: VolumeMounts;
  /** Volumes that something under way needs: they are not removed. */
  readonly #held = new Map<string, number>();

  constructor(options: VolumesOptions) {
    this.#local = options.local;
    this.#db = options.db;
    this.#drivers = options.drivers;
    this.#quota = options.quota;
    this.#mounts = new VolumeMounts({ ...options, queue: this.#queue, records: this });
  }

  /**
   * Makes a volume, or gives the one that has this name.
   * Errors: invalid-parameter; conflict when another driver has the name; not-found for a driver that is not there.
   */
  create(request: VolumeRequest): Promise<{ volume: VolumeRecord; created: boolean }> {
    const { name } = request;
    if (name === '') return this.#create(request, randomBytes(32).toString('hex'));
    return this.#queue.run(name, () => this.#create(request, name));
  }

  async #create(request: VolumeRequest, name: string): Promise<{ volume: VolumeRecord; created: boolean }> {
    const { driver = '', options = {}, labels = {} } = request;
    const plugin =
      driver === '' || driver === LOCAL_DRIVER ? undefined : await driverFor(this.#drivers, `create ${name}`, driver);
    const recorded = this.find(name);
    const existing = recorded !== undefined && (await this.#isGone(recorded)) ? undefined : recorded;
    if (existing !== undefined) {
      if (driver === '' || driver === existing.driver) return { volume: existing, created: false };
      throw conflict(
        `create ${name}: driver '${existing.driver}' already has volume '${name}': volume name must be unique`,
      );
    }
    const anonymous = request.name === '';
    const volume: VolumeRecord = {
      name,
      driver: plugin?.name ?? LOCAL_DRIVER,
      scope: plugin?.scope ?? 'local',
      createdAt: rfc3339(nowNs()),
      labels,
      options,
      anonymous,
    };
    if (plugin !== undefined) {
      await naming(`create ${name}`, () => plugin.create(name, options));
      this.#db.transaction(() => this.#db.put(VOLUME_KIND, name, volume), { durable: true });
      return { volume, created: true };
    }
    if (!anonymous) checkVolumeName(name);
    checkLocalOptions(name, options);
    const local = this.#withQuota(volume);
    this.#db.transaction(() => this.#db.put(VOLUME_KIND, name, local), { durable: true });
    failpoint('volume.recorded');
    try {
      this.#makeDirectory(local);
    } catch (error) {
      this.#db.delete(VOLUME_KIND, name);
      await this.#local.discard(name);
      throw error;
    }
    return { volume: local, created: true };
  }

  /** Removed behind our back, at its driver: its name is free again. A driver that does not answer has it still. */
  async #isGone({ name, driver }: VolumeRecord): Promise<boolean> {
    if (driver === LOCAL_DRIVER || this.users(name).length > 0) return false;
    try {
      return (await (await this.#drivers.get(driver)).get(name)) === undefined;
    } catch {
      return false;
    }
  }

  /** Errors: invalid-parameter when there is to be a quota and there can be none. */
  #withQuota(volume: VolumeRecord): VolumeRecord {
    if (volume.options['size'] === undefined) return volume;
    this.#quota.assertPossible(volume.name);
    return { ...volume, quotaOwner: randomBytes(8).toString('hex') };
  }

  /** `directory`: where it is made when it does not have its name yet. */
  #makeDirectory(volume: VolumeRecord, directory = volume.name): void {
    this.#local.makeDirectory(directory);
    const bytes = sizeOf(volume.name, volume.options);
    if (bytes === undefined || volume.quotaOwner === undefined) return;
    this.#quota.limit(volume.quotaOwner, this.mountpoint(directory), bytes);
  }

  /** Of a local volume; where a plugin has it is asked of the plugin. */
  mountpoint(name: string): string {
    return this.#local.mountpoint(name);
  }

  find(name: string): VolumeRecord | undefined {
    const document = this.#db.get(VOLUME_KIND, name);
    return document === undefined ? undefined : decodeVolume(name, document);
  }

  /** Errors: not-found `get X: no such volume`. */
  get(name: string): VolumeRecord {
    const volume = this.find(name);
    if (volume === undefined) throw notFound(`get ${name}: no such volume`);
    return volume;
  }

  list(): VolumeRecord[] {
    return this.#db.list(VOLUME_KIND).map(({ id, document }) => decodeVolume(id, document));
  }

  /** Ids of the containers that have it among their mounts. */
  users(name: string): string[] {
    return this.#db.children(usersOf(name)).map((edge) => edge.child);
  }

  /** Call inside the transaction that records or forgets the container. Idempotent. */
  addUser(name: string, containerId: string): void {
    if (this.#db.child(usersOf(name), containerId) === undefined) {
      this.#db.link(usersOf(name), containerId, containerId);
    }
  }

  removeUser(name: string, containerId: string): void {
    this.#db.unlink(usersOf(name), containerId);
  }

  /** Until it is disposed of, the volume is not removed: for whoever is about to become its user. */
  hold(name: string): Disposable {
    this.#held.set(name, (this.#held.get(name) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const left = (this.#held.get(name) ?? 1) - 1;
        if (left === 0) this.#held.delete(name);
        else this.#held.set(name, left);
      },
    };
  }

  /** Whether using it costs more than naming its directory. */
  needsMount(volume: VolumeRecord): boolean {
    return needsMount(volume);
  }

  /** See VolumeMounts. */
  mount(name: string, containerId: string): Promise<string> {
    return this.#mounts.mount(name, containerId);
  }

  unmount(name: string, containerId: string): Promise<void> {
    return this.#mounts.unmount(name, containerId);
  }

  restoreMounts(runs: (containerId: string) => boolean): Promise<void> {
    return this.#mounts.restore(runs);
  }

  /** Fills an empty volume with what the image has at `destination`; a container that is being made asks for it. */
  async copyUp(name: string, rootfs: number, destination: string, containerId: string, signal?: AbortSignal) {
    const mountpoint = await this.mount(name, containerId);
    try {
      const volume = this.get(name);
      // Nothing can be renamed into a directory of another project.
      const direct = needsMount(volume) || volume.options['size'] !== undefined;
      await this.#local.copyUp(name, { rootfs, destination }, { mountpoint, direct, signal });
    } finally {
      await this.unmount(name, containerId);
    }
  }

  /** Errors: not-found; conflict while something uses it. With `force` a driver that fails is passed over. */
  async remove(name: string, options: { readonly force?: boolean } = {}): Promise<void> {
    const deleted = await this.#queue.run(name, async () => {
      const volume = this.find(name);
      if (volume === undefined) {
        if (options.force === true) return undefined;
        throw notFound(`get ${name}: no such volume`);
      }
      this.#assertUnused('remove', name);
      if (volume.driver !== LOCAL_DRIVER) {
        await this.#removeFromPlugin(volume, options.force === true);
        return undefined;
      }
      this.#local.checkRemovable(name, volume.options);
      this.#db.transaction(
        () => {
          this.#db.delete(VOLUME_KIND, name);
          this.#db.put(REMOVAL_KIND, name, {});
        },
        { durable: true },
      );
      failpoint('volume.forgotten');
      const deletion = this.#local.discard(name);
      if (volume.quotaOwner !== undefined) this.#quota.release(volume.quotaOwner);
      this.#db.delete(REMOVAL_KIND, name);
      return { deletion };
    });
    await deleted?.deletion;
  }

  #assertUnused(verb: string, name: string): void {
    const users = this.users(name);
    if (users.length > 0) throw conflict(`${verb} ${name}: volume is in use - [${users.join(', ')}]`);
    if (this.#held.has(name)) throw conflict(`${verb} ${name}: volume is in use`);
  }

  async #removeFromPlugin(volume: VolumeRecord, force: boolean): Promise<void> {
    const { name } = volume;
    try {
      const driver = await driverFor(this.#drivers, `remove ${name}`, volume.driver);
      await naming(`remove ${name}`, () => driver.remove(name));
    } catch (error) {
      if (!force) throw error;
      log.warn('volume forgotten although its driver failed', { volume: name, driver: volume.driver, err: error });
    }
    this.#db.delete(VOLUME_KIND, name);
  }

  /** At start-up, before anything else: what a crash has left half made or half removed. */
  restore(): void {
    const recorded = new Set(this.list().map((volume) => volume.name));
    for (const { id, document } of this.#db.list(MOVE_KIND)) {
      const from = wordOf(document, 'from');
      if (recorded.has(id) && from !== '' && this.#local.exists(from)) this.#local.move(from, id);
      this.#db.delete(MOVE_KIND, id);
    }
    for (const { id } of this.#db.list(REMOVAL_KIND)) {
      if (!recorded.has(id)) {
        this.#local.discard(id).catch((err: unknown) => log.error('volume not deleted', { volume: id, err }));
      }
      this.#db.delete(REMOVAL_KIND, id);
    }
    const local = this.list().filter((volume) => volume.driver === LOCAL_DRIVER);
    this.#local.restore(new Set(local.map((volume) => volume.name)));
    for (const volume of local) if (volume.quotaOwner !== undefined) this.#makeDirectory(volume);
    this.#quota.sweep(new Set(local.flatMap((volume) => volume.quotaOwner ?? [])));
  }

  /** Errors: conflict while something uses it; not-found; conflict when the new name is taken. */
  async rename(name: string, to: string): Promise<VolumeRecord> {
    if (name === to) throw invalidParameter(`rename ${name}: the new name is the old one`);
    checkVolumeName(to);
    // Both names are taken in one order, so that two renames cannot wait for each other.
    const [first = '', second = ''] = [name, to].sort();
    return this.#queue.run(first, () => this.#queue.run(second, () => this.#rename(name, to)));
  }

  #rename(name: string, to: string): VolumeRecord {
    const volume = this.get(name);
    if (volume.driver !== LOCAL_DRIVER) throw invalidParameter(`rename ${name}: its driver "${volume.driver}" cannot`);
    this.#assertUnused('rename', name);
    this.#assertFree(to);
    const renamed = { ...volume, name: to, anonymous: false };
    this.#arrive(renamed, name, volume);
    return renamed;
  }

  #assertFree(name: string): void {
    if (this.find(name) !== undefined) throw conflict(`volume ${name} exists already: volume name must be unique`);
  }

  /** Records a volume whose directory has another name so far, and moves that. `before`: what it was recorded as. */
  #arrive(volume: VolumeRecord, from: string, before?: VolumeRecord): void {
    const { name } = volume;
    const record = (): void => {
      if (before !== undefined) this.#db.delete(VOLUME_KIND, before.name);
      this.#db.put(VOLUME_KIND, name, volume);
      this.#db.put(MOVE_KIND, name, { from });
    };
    const forget = (): void => {
      if (before !== undefined) this.#db.put(VOLUME_KIND, before.name, before);
      this.#db.delete(VOLUME_KIND, name);
      this.#db.delete(MOVE_KIND, name);
    };
    this.#db.transaction(record, { durable: true });
    try {
      failpoint('volume.moving');
      this.#local.move(from, name);
    } catch (error) {
      this.#db.transaction(forget, { durable: true });
      throw error;
    }
    this.#db.delete(MOVE_KIND, name);
  }

  /**
   * A new local volume that is there with all its contents, or not at all. `fill` writes into the directory that it is
   * given. Errors: conflict when the name is taken.
   */
  async createFilled(request: VolumeRequest, fill: (mountpoint: string) => Promise<void>): Promise<VolumeRecord> {
    const { name, options = {}, labels = {} } = request;
    checkVolumeName(name);
    checkLocalOptions(name, options);
    this.#assertFree(name);
    const fresh = { name, driver: LOCAL_DRIVER, scope: 'local', createdAt: rfc3339(nowNs()), labels, options } as const;
    const volume = this.#withQuota({ ...fresh, anonymous: false });
    const hidden = this.#local.hiddenName();
    try {
      this.#makeDirectory(volume, hidden);
      await fill(this.mountpoint(hidden));
      failpoint('volume.filled');
      return await this.#queue.run(name, () => {
        this.#assertFree(name);
        this.#arrive(volume, hidden);
        return volume;
      });
    } catch (error) {
      if (volume.quotaOwner !== undefined) this.#quota.release(volume.quotaOwner);
      await this.#local.discard(hidden);
      throw error;
    }
  }

  toWire(volume: VolumeRecord, more: { mountpoint?: string; status?: Readonly<Record<string, unknown>> } = {}): Volume {
    const { labels, options } = volume;
    const ownLabels = volume.anonymous ? { [ANONYMOUS_LABEL]: '', ...labels } : { ...labels };
    return {
      CreatedAt: volume.createdAt,
      Driver: volume.driver,
      Labels: Object.keys(ownLabels).length === 0 ? null : ownLabels,
      Mountpoint: more.mountpoint ?? (volume.driver === LOCAL_DRIVER ? this.mountpoint(volume.name) : ''),
      Name: volume.name,
      Options: Object.keys(options).length === 0 ? null : { ...options },
      Scope: volume.scope,
      ...(more.status === undefined ? {} : { Status: { ...more.status } }),
    };
  }
}

function wordOf(document: unknown, key: string): string {
  const value: unknown = typeof document === 'object' && document !== null ? Reflect.get(document, key) : undefined;
  return typeof value === 'string' ? value : '';
}
