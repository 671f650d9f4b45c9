/**
 * Device rules of OCI, decoded once for both kinds of cgroup. Later rules win over earlier ones; what no rule speaks of
 * is denied. An empty list means "leave devices alone".
 */
import { invalidParameter } from '#errdefs/errors.ts';
import type { DeviceRule } from '#libcontainer/spec.ts';

/** `undefined` in type, major or minor is the wildcard. */
export interface DecodedRule {
  readonly allow: boolean;
  readonly type: 'b' | 'c' | undefined;
  readonly major: number | undefined;
  readonly minor: number | undefined;
  /** Bits of DEVICE_ACCESS. */
  readonly access: number;
}

/** BPF_DEVCG_ACC_*: mknod, read, write. */
export const DEVICE_ACCESS = { m: 1, r: 2, w: 4 } as const;
export const ALL_ACCESS = 7;

const NUMBER_MAX = 0xff_ff_ff; // a dev_t has 12 bits of major and 20 of minor

export function decodeDeviceRule(rule: DeviceRule): DecodedRule {
  return {
    allow: rule.allow,
    type: typeOf(rule),
    major: numberOf(rule.major, rule),
    minor: numberOf(rule.minor, rule),
    access: accessOf(rule),
  };
}

export const isEverything = (rule: DecodedRule): boolean =>
  rule.type === undefined && rule.major === undefined && rule.minor === undefined && rule.access === ALL_ACCESS;

function typeOf(rule: DeviceRule): 'b' | 'c' | undefined {
  switch (rule.type) {
    case undefined:
    case '':
    case 'a':
      return undefined;
    case 'b':
    case 'c':
      return rule.type;
    case 'u': // mknod(1)'s other word for c
      return 'c';
    default:
      throw invalidParameter(`Cannot read device rule ${JSON.stringify(rule)}: type is none of a, b, c`);
  }
}

function numberOf(value: number | undefined, rule: DeviceRule): number | undefined {
  if (value === undefined || value === -1) return undefined;
  if (!Number.isInteger(value) || value < 0 || value > NUMBER_MAX) {
    throw invalidParameter(`Cannot read device rule ${JSON.stringify(rule)}: "${value}" is no device number`);
  }
  return value;
}

function accessOf(rule: DeviceRule): number {
  if (!rule.access) return ALL_ACCESS;
  let bits = 0;
  for (const letter of rule.access) {
    if (letter !== 'm' && letter !== 'r' && letter !== 'w') {
      throw invalidParameter(`Cannot read device rule ${JSON.stringify(rule)}: access is made of r, w and m`);
    }
    bits |= DEVICE_ACCESS[letter];
  }
  return bits;
}
