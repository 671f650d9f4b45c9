/** The seccomp filter of a container: none, the daemon's default for its capabilities, or a profile of the client's. */
import * as fs from 'node:fs';
import type { HostConfig } from '#api/types/host-config.ts';
import { parseSecurityOptions } from '#container/security-opt.ts';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { decodeProfile, type SeccompProfile } from '#libcontainer/seccomp/profile.ts';
import { defaultSeccomp, seccompOf } from '#libcontainer/seccomp/seccomp.ts';
import type { Seccomp } from '#libcontainer/spec.ts';

/** The daemon key `seccomp-profile`: ours, none, or that of a file, which is read once. */
export interface SeccompDefault {
  /** As /info names it. */
  readonly name: string;
  /** 'builtin' is our own, undefined none. */
  readonly profile: SeccompProfile | 'builtin' | undefined;
}

/** Errors: invalid-parameter naming the file. */
export function seccompDefaultOf(setting: string): SeccompDefault {
  if (setting === 'builtin') return { name: 'builtin', profile: 'builtin' };
  if (setting === 'unconfined') return { name: 'unconfined', profile: undefined };
  try {
    return { name: setting, profile: decodeProfile(fs.readFileSync(setting, 'utf8')) };
  } catch (cause) {
    throw invalidParameter(`opening seccomp profile (${setting}) failed: ${messageOf(cause)}`, { cause });
  }
}

/** Errors: invalid-parameter for a profile that cannot be read. */
export function filterOf(
  host: HostConfig,
  capabilities: readonly string[],
  standard: SeccompDefault,
): Seccomp | undefined {
  const { seccomp } = parseSecurityOptions(host.SecurityOpt ?? []);
  if (seccomp === 'unconfined') return undefined;
  if (seccomp === 'builtin') return defaultSeccomp(capabilities);
  if (seccomp !== 'default') return seccompOf(decodeProfile(seccomp), capabilities);
  if (host.Privileged || standard.profile === undefined) return undefined;
  return standard.profile === 'builtin' ? defaultSeccomp(capabilities) : seccompOf(standard.profile, capabilities);
}
