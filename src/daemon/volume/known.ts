/** Volumes as clients see them: those that were made here, and those that only a plugin knows. */
import type { Volume } from '#api/types/volume.ts';
import { messageOf, notFound } from '#errdefs/errors.ts';
import type { DriverVolume, VolumeDriver } from '#volume/driver.ts';
import { LOCAL_DRIVER, type VolumeRecord } from '#volume/records.ts';
import type { Services } from '../services.ts';

type Part = Pick<Services, 'volumes' | 'volumeDrivers'>;

export interface Listing {
  readonly volumes: Volume[];
  readonly warnings: string[];
}

/** All volumes. A plugin that fails is told of in the warnings; its volumes are shown as they were recorded. */
export async function knownVolumes(services: Part): Promise<Listing> {
  const { drivers, warnings } = await services.volumeDrivers.all();
  const found = new Map<string, { driver: VolumeDriver; volume: DriverVolume }>();
  await Promise.all(
    drivers.map(async (driver) => {
      try {
        for (const volume of await driver.list()) found.set(`${driver.name}/${volume.name}`, { driver, volume });
      } catch (error) {
        warnings.push(messageOf(error));
      }
    }),
  );
  const volumes = services.volumes.list().map((record) => {
    const key = `${record.driver}/${record.name}`;
    const there = found.get(key);
    found.delete(key);
    return withDriver(services, record, there?.volume);
  });
  for (const { driver, volume } of found.values()) volumes.push(foreign(driver, volume));
  return { volumes, warnings };
}

/** Errors: not-found `get X: no such volume`. */
export async function knownVolume(services: Part, name: string): Promise<Volume> {
  const record = services.volumes.find(name);
  if (record !== undefined) {
    if (record.driver === LOCAL_DRIVER) return services.volumes.toWire(record);
    const driver = await services.volumeDrivers.get(record.driver);
    const there = await driver.get(name);
    if (there === undefined) throw notFound(`get ${name}: no such volume`);
    return withDriver(services, record, there);
  }
  const found = await foreignVolume(services, name);
  if (found === undefined) throw notFound(`get ${name}: no such volume`);
  return foreign(found.driver, found.volume);
}

/** One that was not made here. */
export async function foreignVolume(
  { volumeDrivers }: Part,
  name: string,
): Promise<{ readonly driver: VolumeDriver; readonly volume: DriverVolume } | undefined> {
  const { drivers } = await volumeDrivers.all();
  for (const driver of drivers) {
    const volume = await driver.get(name).catch(() => undefined);
    if (volume !== undefined) return { driver, volume };
  }
  return undefined;
}

function withDriver(services: Part, record: VolumeRecord, volume: DriverVolume | undefined): Volume {
  if (volume === undefined) return services.volumes.toWire(record);
  return services.volumes.toWire(record, {
    mountpoint: volume.mountpoint,
    ...(volume.status === undefined ? {} : { status: volume.status }),
  });
}

function foreign(driver: VolumeDriver, volume: DriverVolume): Volume {
  return {
    ...(volume.createdAt === undefined ? {} : { CreatedAt: volume.createdAt }),
    Driver: driver.name,
    Labels: null,
    Mountpoint: volume.mountpoint,
    Name: volume.name,
    Options: null,
    Scope: driver.scope,
    ...(volume.status === undefined ? {} : { Status: { ...volume.status } }),
  };
}
