/**
 * Capability names and their numbers (linux/capability.h), sets as bit masks, and the bytes that capset(2) takes.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { readText } from '#sys/host-files.ts';
import type { Capabilities } from './spec.ts';

export const capabilityNames = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const;

/** Docker's default set (reference/security.md). */
export const defaultCapabilities = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
] as const;

const CAPABILITY_VERSION_3 = 0x20080522;
const numbers: ReadonlyMap<string, number> = new Map(capabilityNames.map((name, number) => [name, number]));

export interface CapabilitySets {
  readonly bounding: bigint;
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
  readonly ambient: bigint;
}

/** Bit of a capability. Errors: invalid-parameter for a name that is none. */
export function capabilityBit(name: string): number {
  const bit = numbers.get(name);
  if (bit === undefined) throw invalidParameter(`Unknown capability "${name}"`);
  return bit;
}

function mask(names: readonly string[] | undefined): bigint {
  return (names ?? []).reduce((set, name) => set | (1n << BigInt(capabilityBit(name))), 0n);
}

export function capabilitySets(capabilities: Capabilities | undefined): CapabilitySets {
  return {
    bounding: mask(capabilities?.bounding),
    effective: mask(capabilities?.effective),
    permitted: mask(capabilities?.permitted),
    inheritable: mask(capabilities?.inheritable),
    ambient: mask(capabilities?.ambient),
  };
}

/**
 * What a set becomes for a user that is not root: effective and permitted keep only what is ambient. (execve would do
 * the same; doing it before means that the last calls of a start already have no more than the program will.)
 */
export function withoutRoot(sets: CapabilitySets): CapabilitySets {
  return { ...sets, effective: sets.effective & sets.ambient, permitted: sets.permitted & sets.ambient };
}

/** Header and data of capset(2): the header is the first 8 bytes. */
export function capsetBytes(effective: bigint, permitted: bigint, inheritable: bigint): Uint8Array {
  const words = new Uint32Array(8);
  words[0] = CAPABILITY_VERSION_3;
  for (const [i, set] of [effective, permitted, inheritable].entries()) {
    words[2 + i] = Number(set & 0xffff_ffffn);
    words[5 + i] = Number(set >> 32n);
  }
  return new Uint8Array(words.buffer);
}

let lastCapability: number | undefined;

/** The highest capability number that the running kernel knows. */
export function lastCapabilityOfKernel(): number {
  lastCapability ??= Number(readText('/proc/sys/kernel/cap_last_cap'));
  return lastCapability;
}

export type CapabilitySetName = 'CapInh' | 'CapPrm' | 'CapEff' | 'CapBnd' | 'CapAmb';

/** A set in the text of /proc/PID/status. */
export function capabilitiesIn(status: string, set: CapabilitySetName): bigint {
  const at = status.indexOf(`${set}:\t`);
  return at === -1 ? 0n : BigInt(`0x${status.slice(at + 8, at + 24)}`);
}

/** A set of this process. */
export function ownCapabilities(set: CapabilitySetName): bigint {
  return capabilitiesIn(readText('/proc/self/status'), set);
}

/** Names of the bits in a set, those without a name left out. */
export function namesOf(set: bigint): string[] {
  return capabilityNames.filter((_, bit) => ((set >> BigInt(bit)) & 1n) === 1n);
}
