/**
 * Which volumes are mounted for which containers: counted by edges of graphdb, written before the driver is asked, so
 * that a restart knows what to take away. Plain directories need none of it.
 */
import type { GraphDb } from '#graphdb/graphdb.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import type { KeyedQueue } from '#pkg/keyed-queue/keyed-queue.ts';
import { log } from '#pkg/log/log.ts';
import type { VolumeDrivers } from './driver.ts';
import { driverFor, naming } from './driver-call.ts';
import type { LocalVolumes } from './local.ts';
import { localMountOf } from './local-options.ts';
import { LOCAL_DRIVER, mountsOf, type VolumeRecord } from './records.ts';

/** Whether using it costs more than naming its directory. */
export function needsMount(volume: VolumeRecord): boolean {
  return volume.driver !== LOCAL_DRIVER || localMountOf(volume.options) !== undefined;
}

export interface VolumeRecords {
  find(name: string): VolumeRecord | undefined;
  /** Errors: not-found. */
  get(name: string): VolumeRecord;
  list(): VolumeRecord[];
}

export interface VolumeMountsOptions {
  readonly db: GraphDb;
  readonly local: LocalVolumes;
  readonly drivers: VolumeDrivers;
  /** By name; everything that is done to a volume goes through it. */
  readonly queue: KeyedQueue;
  readonly records: VolumeRecords;
}

export class VolumeMounts {
  readonly #db: GraphDb;
  readonly #local: LocalVolumes;
  readonly #drivers: VolumeDrivers;
  readonly #queue: KeyedQueue;
  readonly #records: VolumeRecords;

  constructor(options: VolumeMountsOptions) {
    this.#db = options.db;
    this.#local = options.local;
    this.#drivers = options.drivers;
    this.#queue = options.queue;
    this.#records = options.records;
  }

  /**
   * The host path of its contents, for this container. Counted: it stays mounted until every container that asked has
   * been unmounted.
   */
  async mount(name: string, containerId: string): Promise<string> {
    const plain = this.#records.get(name);
    if (!needsMount(plain)) return this.#local.mountpoint(name);
    return this.#queue.run(name, async () => {
      const volume = this.#records.get(name);
      const known = this.#db.child(mountsOf(name), containerId) !== undefined;
      if (!known) this.#db.link(mountsOf(name), containerId, containerId);
      failpoint('volume.mount-recorded');
      let mountpoint = '';
      try {
        mountpoint = await this.#mountNow(volume, containerId);
        failpoint('volume.mounted');
        return mountpoint;
      } catch (error) {
        if (known) throw error;
        if (mountpoint !== '') await this.#unmountNow(volume, containerId).catch(logNotUnmounted);
        this.#db.unlink(mountsOf(name), containerId);
        throw error;
      }
    });
  }

  async #mountNow(volume: VolumeRecord, containerId: string): Promise<string> {
    const { name } = volume;
    if (volume.driver === LOCAL_DRIVER) {
      await this.#local.mount(name, volume.options);
      return this.#local.mountpoint(name);
    }
    const driver = await driverFor(this.#drivers, `mount ${name}`, volume.driver);
    return naming(`error while mounting volume '${name}'`, () => driver.mount(name, containerId));
  }

  /** Idempotent. Errors: what the driver says; the volume counts as unmounted all the same. */
  async unmount(name: string, containerId: string): Promise<void> {
    if (this.#db.child(mountsOf(name), containerId) === undefined) return;
    await this.#queue.run(name, async () => {
      if (this.#db.child(mountsOf(name), containerId) === undefined) return;
      const volume = this.#records.find(name);
      try {
        if (volume !== undefined) await this.#unmountNow(volume, containerId);
        failpoint('volume.unmounted');
      } finally {
        this.#db.unlink(mountsOf(name), containerId);
      }
    });
  }

  /** Preconditions: the container is still among those for which it is mounted. */
  async #unmountNow(volume: VolumeRecord, containerId: string): Promise<void> {
    const { name } = volume;
    if (volume.driver === LOCAL_DRIVER) {
      if (this.#db.children(mountsOf(name)).length === 1) this.#local.unmount(name, volume.options);
      return;
    }
    const driver = await driverFor(this.#drivers, `unmount ${name}`, volume.driver);
    await naming(`unmount ${name}`, () => driver.unmount(name, containerId));
  }

  /**
   * At start-up, when it is known which containers run: mounts of the others are taken away. All of it is asked for at
   * once, before anything can mount anew; drivers may then take their time.
   */
  async restore(runs: (containerId: string) => boolean): Promise<void> {
    const work: Promise<void>[] = [];
    for (const volume of this.#records.list()) {
      if (!needsMount(volume)) continue;
      for (const { child } of this.#db.children(mountsOf(volume.name))) {
        if (!runs(child)) work.push(this.unmount(volume.name, child));
      }
    }
    for (const name of this.#local.mounted()) work.push(this.#queue.run(name, () => this.#unmountStray(name)));
    for (const result of await Promise.allSettled(work)) {
      if (result.status === 'rejected') logNotUnmounted(result.reason);
    }
  }

  #unmountStray(name: string): void {
    const volume = this.#records.find(name);
    if (volume !== undefined && this.#db.children(mountsOf(name)).length === 0)
      this.#local.unmount(name, volume.options);
  }
}

function logNotUnmounted(err: unknown): void {
  log.warn('volume not unmounted', { err });
}
