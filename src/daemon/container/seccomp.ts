/** The seccomp filter of a container: none, the default for its capabilities, or a profile that the client sent. */
import type { HostConfig } from '#api/types/host-config.ts';
import { parseSecurityOptions } from '#container/security-opt.ts';
import { decodeProfile } from '#libcontainer/seccomp/profile.ts';
import { defaultSeccomp, seccompOf } from '#libcontainer/seccomp/seccomp.ts';
import type { Seccomp } from '#libcontainer/spec.ts';

/** Errors: invalid-parameter for a profile that cannot be read. */
export function filterOf(host: HostConfig, capabilities: readonly string[]): Seccomp | undefined {
  const { seccomp } = parseSecurityOptions(host.SecurityOpt ?? []);
  if (seccomp === 'unconfined') return undefined;
  if (seccomp !== 'default') return seccompOf(decodeProfile(seccomp), capabilities);
  return host.Privileged ? undefined : defaultSeccomp(capabilities);
}
