/** What calls of drivers share: finding the driver, and saying what a failure was about. */
import { BerthError, kindOf, messageOf } from '#errdefs/errors.ts';
import type { VolumeDriver, VolumeDrivers } from './driver.ts';

export function driverFor(drivers: VolumeDrivers, what: string, driver: string): Promise<VolumeDriver> {
  return naming(what, () => drivers.get(driver));
}

/** The same failure, saying what it was about. */
export async function naming<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new BerthError(kindOf(error), `${what}: ${messageOf(error)}`, { cause: error });
  }
}
