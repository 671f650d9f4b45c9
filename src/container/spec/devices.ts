/** Devices of a container: the default rules of its cgroup, and what `--device` and `--privileged` add. */
import type { Device, DeviceRule } from '#libcontainer/spec.ts';

/** A device node of the host. */
export interface HostDevice extends Device {
  readonly major: number;
  readonly minor: number;
  /** Some of 'rwm'. */
  readonly access: string;
}

const allow = (major: number, minor: number | undefined): DeviceRule => ({
  allow: true,
  type: 'c',
  major,
  ...(minor === undefined ? {} : { minor }),
  access: 'rwm',
});

/** mknod of anything (it opens nothing), null, zero, full, random, urandom, tty, console, ptmx, pts. */
const defaultRules: readonly DeviceRule[] = [
  { allow: false, access: 'rwm' },
  { allow: true, type: 'c', access: 'm' },
  { allow: true, type: 'b', access: 'm' },
  allow(1, 3),
  allow(1, 5),
  allow(1, 7),
  allow(1, 8),
  allow(1, 9),
  allow(5, 0),
  allow(5, 1),
  allow(5, 2),
  allow(136, undefined),
];

export function deviceRules(options: {
  readonly privileged: boolean;
  readonly devices: readonly HostDevice[];
  /** HostConfig.DeviceCgroupRules, checked: 'c 1:3 rwm'. */
  readonly rules: readonly string[];
}): DeviceRule[] {
  if (options.privileged) return [{ allow: true, access: 'rwm' }];
  const added = options.devices.map(({ type, major, minor, access }) => ({ allow: true, type, major, minor, access }));
  return [...defaultRules, ...added, ...options.rules.map(parseRule)];
}

function parseRule(text: string): DeviceRule {
  const [type = 'a', numbers = '*:*', access = 'rwm'] = text.split(' ');
  const [major = '*', minor = '*'] = numbers.split(':');
  return {
    allow: true,
    type,
    access,
    ...(major === '*' ? {} : { major: Number(major) }),
    ...(minor === '*' ? {} : { minor: Number(minor) }),
  };
}
