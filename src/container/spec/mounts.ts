/** The mounts of a spec: the kernel's file systems, the files the engine makes, then what the user asked for. */
import type { Mount } from '#libcontainer/spec.ts';
import { mountMappings } from '../idmap-option.ts';
import { depth } from '../mount-spec.ts';
import type { ContainerRecord } from '../record.ts';
import { parseSecurityOptions } from '../security-opt.ts';

const SHM_DEFAULT_BYTES = 64 * 1024 * 1024;

/** Host paths of files that are made for the container. */
export interface GeneratedFiles {
  readonly hosts: string;
  readonly hostname: string;
  readonly resolvConf: string;
}

/** Where a mount's contents are, by its destination, when the record does not say: a path, or a detached mount. */
export type MountSources = ReadonlyMap<string, { readonly path: string; readonly fd?: number }>;

export interface MountsInput {
  readonly record: ContainerRecord;
  readonly sources: MountSources;
  /** Mounts of the container's secrets. */
  readonly secrets?: readonly Mount[];
  readonly files: GeneratedFiles | undefined;
  /** Host path of docker-init when `Init` is asked for. */
  readonly initFile: string | undefined;
  /** Host path of memory that other containers share. */
  readonly sharedShm: string | undefined;
}

export function mountsOf(input: MountsInput): Mount[] {
  const { record } = input;
  const wanted = new Set(record.mounts.map((mount) => mount.destination));
  const unwanted = (mount: Mount) => !wanted.has(mount.destination);
  // What the user mounts on /etc must not hide the files in it.
  const others = [
    ...generated(input).filter(unwanted),
    ...(input.secrets ?? []),
    ...record.mounts.map((mount) => userMount(mount, input)),
  ].sort((a, b) => depth(a.destination) - depth(b.destination));
  const init: Mount[] = [];
  if (input.initFile !== undefined) {
    init.push({ destination: '/sbin/docker-init', type: 'bind', source: input.initFile, options: ['bind', 'ro'] });
  }
  return [...kernelMounts(input).filter(unwanted), ...others, ...init];
}

function kernelMounts(input: MountsInput): Mount[] {
  const { hostConfig } = input.record;
  const access = hostConfig.Privileged ? 'rw' : 'ro';
  const { writableCgroups = hostConfig.Privileged } = parseSecurityOptions(hostConfig.SecurityOpt ?? []);
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', access] },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: [writableCgroups ? 'rw' : 'ro', 'nosuid', 'noexec', 'nodev'],
    },
    ...ipcMounts(input),
  ];
}

function ipcMounts(input: MountsInput): Mount[] {
  const mode = input.record.hostConfig.IpcMode;
  const mqueue = {
    destination: '/dev/mqueue',
    type: 'mqueue',
    source: 'mqueue',
    options: ['nosuid', 'noexec', 'nodev'],
  };
  if (mode === 'none') return [mqueue];
  if (mode === 'host') {
    const options = ['rbind', 'nosuid', 'noexec', 'nodev'];
    return [mqueue, { destination: '/dev/shm', type: 'bind', source: '/dev/shm', options }];
  }
  if (input.sharedShm !== undefined) {
    const options = ['rbind', 'nosuid', 'noexec', 'nodev', 'rprivate'];
    return [mqueue, { destination: '/dev/shm', type: 'bind', source: input.sharedShm, options }];
  }
  const size = input.record.hostConfig.ShmSize === 0 ? SHM_DEFAULT_BYTES : input.record.hostConfig.ShmSize;
  const options = ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${size}`];
  return [mqueue, { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options }];
}

function generated(input: MountsInput): Mount[] {
  const { files } = input;
  if (files === undefined) return [];
  const access = input.record.hostConfig.ReadonlyRootfs ? 'ro' : 'rw';
  const bind = (destination: string, source: string): Mount => ({
    destination,
    type: 'bind',
    source,
    options: ['bind', access, 'rprivate'],
  });
  return [
    bind('/etc/resolv.conf', files.resolvConf),
    bind('/etc/hostname', files.hostname),
    bind('/etc/hosts', files.hosts),
  ];
}

function userMount(mount: ContainerRecord['mounts'][number], { record, sources }: MountsInput): Mount {
  if (mount.type === 'tmpfs') {
    return { destination: mount.destination, type: 'tmpfs', source: 'tmpfs', options: [...mount.tmpfsOptions] };
  }
  const found = sources.get(mount.destination);
  return {
    destination: mount.destination,
    type: 'bind',
    source: found?.path ?? mount.source,
    ...(found?.fd === undefined ? {} : { sourceFd: found.fd }),
    // An image is mounted with the container's ids already.
    ...(mount.type === 'image' ? {} : mountMappings(mount, record.userns)),
    options: [
      mount.nonRecursive ? 'bind' : 'rbind',
      ...accessOf(mount),
      mount.propagation === '' ? 'rprivate' : mount.propagation,
    ],
  };
}

function accessOf(mount: ContainerRecord['mounts'][number]): string[] {
  if (!mount.readOnly) return ['rw'];
  // What comes along from below is as writable as it was, unless it is said of all.
  return mount.nonRecursive || mount.readOnlyBelow === 'no' ? ['ro'] : ['ro', 'rro'];
}
