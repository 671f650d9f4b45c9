/** Devices that every container may use, as runtimes add them to what a bundle's resources say. */
import type { DeviceRule, Resources } from '../spec.ts';

const character = (major: number | undefined, minor: number | undefined, access = 'rwm'): DeviceRule => ({
  allow: true,
  type: 'c',
  access,
  ...(major === undefined ? {} : { major }),
  ...(minor === undefined ? {} : { minor }),
});

export const defaultDeviceRules: readonly DeviceRule[] = [
  character(undefined, undefined, 'm'),
  { allow: true, type: 'b', access: 'm' },
  character(1, 3), // null
  character(1, 5), // zero
  character(1, 7), // full
  character(1, 8), // random
  character(1, 9), // urandom
  character(5, 0), // tty
  character(5, 1), // console
  character(5, 2), // ptmx
  character(136, undefined), // pts
];

/** Preconditions: none; a specification without device rules is left as it is (nothing is restricted). */
export function withDefaultDevices(resources: Resources): Resources {
  const { devices } = resources;
  if (devices === undefined || devices.length === 0) return resources;
  return { ...resources, devices: [...devices, ...defaultDeviceRules] };
}
