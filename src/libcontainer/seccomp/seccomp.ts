/** The seccomp of a container: our profile or a given one, settled for its capabilities and this host. */
import { release } from 'node:os';
import type { Seccomp } from '#libcontainer/spec.ts';
import { defaultProfile } from './default-profile.ts';
import { type ProfileHost, resolveProfile, type SeccompProfile } from './profile.ts';

const HOST: Omit<ProfileHost, 'caps'> = { arch: process.arch === 'arm64' ? 'arm64' : 'amd64', kernel: release() };
const KEPT_MAX = 64;

const settled = new Map<string, Seccomp>();

/** Our profile for a container with these capabilities (its bounding set). The same set gives the same object. */
export function defaultSeccomp(caps: readonly string[]): Seccomp {
  const key = [...caps].sort().join(' ');
  const known = settled.get(key);
  if (known !== undefined) return known;
  const seccomp = seccompOf(defaultProfile, caps);
  if (settled.size < KEPT_MAX) settled.set(key, seccomp);
  return seccomp;
}

/** A given profile (`--security-opt seccomp=FILE`, read by decodeProfile) for a container with these capabilities. */
export function seccompOf(profile: SeccompProfile, caps: readonly string[]): Seccomp {
  return resolveProfile(profile, { ...HOST, caps });
}
