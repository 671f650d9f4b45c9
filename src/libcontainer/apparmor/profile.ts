/**
 * `berth-default`, the AppArmor profile of a container that names none. Text only; the rules are those of Docker's
 * docker-default (reference: moby profiles/apparmor), with `network alg` denied (CVE-2026-31431).
 */

export const DEFAULT_PROFILE = 'berth-default';

export interface ProfileSurroundings {
  /** Label of the daemon: it may send signals to containers. 'unconfined' as a rule. */
  readonly daemonLabel: string;
  /** Does `/etc/apparmor.d/NAME` exist on this host? */
  readonly has: (name: string) => boolean;
}

/** The source text for apparmor_parser. */
export function defaultProfileText({ daemonLabel, has }: ProfileSurroundings): string {
  const name = DEFAULT_PROFILE;
  const when = (file: string, line: string) => (has(file) ? `${line}\n` : '');
  return `${when('abi/3.0', 'abi <abi/3.0>,')}${
    has('tunables/global') ? '#include <tunables/global>' : '@{PROC}=/proc/'
  }

profile ${name} flags=(attach_disconnected,mediate_deleted) {
${when('abstractions/base', '  #include <abstractions/base>')}
  network,
  deny network alg,
  capability,
  file,
  umount,

  # Processes of the host, this daemon and OCI runtimes may signal those of a container, and these each other.
  signal (receive) peer=unconfined,
  signal (receive) peer=runc,
  signal (receive) peer=crun,
${daemonLabel === 'unconfined' ? '' : `  signal (receive) peer=${daemonLabel},\n`}  signal (send,receive) peer=${name},

  # Nothing directly in /proc, nothing below it but /proc/PID and /proc/sys, of that /proc/sys/kernel/shm* only.
  deny @{PROC}/* w,
  deny @{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w,
  deny @{PROC}/sys/[^k]** w,
  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/kcore rwklx,

  deny mount,

  # /sys but for /sys/fs/cgroup
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,

  ptrace (trace,read,tracedby,readby) peer=${name},
}
`;
}
