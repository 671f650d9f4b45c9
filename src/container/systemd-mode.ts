/**
 * `--systemd` (podman's): what a service manager needs to run as a container's first process, put together from options
 * that anybody could give one by one, so that the record and inspect show it. Asked for by a label of the request; the
 * label of an image asks for nothing, since what is given here (a writable cgroup) is not the image's to take.
 */
import type { ContainerConfig } from '#api/types/container.ts';
import type { HostConfig } from '#api/types/host-config.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { envName } from './merge-config.ts';
import { parseMounts } from './parse-mounts.ts';

/** `true` (when the command is an init), `always` or `false`, as podman's --systemd. */
export const SYSTEMD_LABEL = 'berth.systemd';
const STOP_SIGNAL = 'SIGRTMIN+3';
const inits: ReadonlySet<string> = new Set(['/sbin/init', '/usr/sbin/init', '/usr/local/sbin/init']);
/** The names that systemd knows are few, and `oci` says what is true of us. */
const CONTAINER_WORD = 'oci';

const temporary: readonly (readonly [destination: string, options: string])[] = [
  ['/run', 'rw,exec,mode=755'],
  ['/run/lock', 'rw,mode=1777'],
  ['/tmp', 'rw,exec,mode=1777'],
  ['/var/log/journal', 'rw,mode=755'],
];

export interface SystemdInput {
  /** Labels of the request, without the image's. */
  readonly asked: Readonly<Record<string, string>> | null | undefined;
  readonly config: ContainerConfig;
  readonly host: HostConfig;
  readonly id: string;
}

/** Errors: invalid-parameter for a word that is none of the three, and for the host's cgroup namespace. */
export function withSystemdMode(input: SystemdInput): { readonly config: ContainerConfig; readonly host: HostConfig } {
  const { asked, config, host, id } = input;
  if (!isSystemd(asked?.[SYSTEMD_LABEL] ?? 'false', config)) return { config, host };
  if (host.CgroupnsMode === 'host') {
    throw invalidParameter('conflicting options: systemd mode needs a cgroup namespace of the container’s own');
  }
  const taken = new Set(parseMounts(host, config).map((mount) => mount.destination));
  const tmpfs = temporary.filter(([destination]) => !taken.has(destination));
  const env = config.Env ?? [];
  const known = new Set(env.map(envName));
  const added = [`container=${CONTAINER_WORD}`, `container_uuid=${id.slice(0, 32)}`];
  return {
    config: {
      ...config,
      Env: [...env, ...added.filter((entry) => !known.has(envName(entry)))],
      StopSignal: (config.StopSignal ?? '') === '' ? STOP_SIGNAL : (config.StopSignal ?? ''),
    },
    host: {
      ...host,
      Tmpfs: { ...Object.fromEntries(tmpfs), ...host.Tmpfs },
      CgroupnsMode: 'private',
      SecurityOpt: [...(host.SecurityOpt ?? []), ...(saysCgroups(host) ? [] : ['writable-cgroups=true'])],
    },
  };
}

function isSystemd(word: string, config: ContainerConfig): boolean {
  if (word === 'always') return true;
  if (word !== 'true') {
    if (word === 'false') return false;
    throw invalidParameter(`invalid label ${SYSTEMD_LABEL}=${word}: it must be one of true, false, always`);
  }
  const [first = ''] = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  return inits.has(first) || first.slice(first.lastIndexOf('/') + 1) === 'systemd';
}

function saysCgroups(host: HostConfig): boolean {
  return (host.SecurityOpt ?? []).some((option) => /^writable-cgroups([=:]|$)/.test(option));
}
