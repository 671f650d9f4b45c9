/**
 * From a container's record to the OCI spec that libcontainer runs. Pure: all that has to be looked up on the host comes
 * in, so that the same record and facts give the same spec.
 */
import type { Ulimit } from '#api/types/host-config.ts';
import type { Linux, Namespace, Process, Seccomp, Spec } from '#libcontainer/spec.ts';
import { effectiveCapabilities } from '../capabilities.ts';
import { overrideEnv, processEnv } from '../merge-config.ts';
import type { ContainerRecord } from '../record.ts';
import { type DeviceNumbers, resourcesOf, rlimitsOf } from '../resources.ts';
import { parseSecurityOptions } from '../security-opt.ts';
import { deviceRules, type HostDevice } from './devices.ts';
import { type MountsInput, mountsOf } from './mounts.ts';
import { defaultMaskedPaths, defaultReadonlyPaths } from './paths.ts';

/** Nothing here is newer, and Debian 12's crun knows no later one. */
const SPEC_VERSION = '1.0.2';

export interface SpecInput extends MountsInput {
  /** NAME=value of secrets: for the first process only. */
  readonly secretEnv?: readonly string[];
  /** What links to other containers say. */
  readonly linkEnv?: readonly string[];
  readonly cgroupsPath: string;
  readonly cgroupVersion: 1 | 2;
  /** The daemon's own bounding set. */
  readonly bounding: readonly string[];
  readonly possibleCpus: readonly number[];
  /** The default filter for these capabilities, or a decoded profile; undefined: none. */
  readonly seccomp: (capabilities: readonly string[]) => Seccomp | undefined;
  /** Name of the profile, '' without AppArmor. */
  readonly apparmorProfile: string;
  /** Namespaces of other containers, by path. */
  readonly joined: {
    readonly network?: string;
    readonly pid?: string;
    readonly ipc?: string;
    readonly user?: string;
  };
  readonly devices: readonly HostDevice[];
  readonly deviceNumbers: DeviceNumbers;
  readonly consoleSize: readonly [height: number, width: number] | undefined;
  readonly noNewPrivilegesDefault: boolean;
  readonly defaultUlimits: readonly Ulimit[];
}

export function buildSpec(input: SpecInput): Spec {
  const { record } = input;
  const { config, hostConfig } = record;
  const privileged = hostConfig.Privileged;
  const capabilities = capabilitiesOf(input);
  const seccomp = input.seccomp(capabilities);
  return {
    ociVersion: SPEC_VERSION,
    process: processOf(input, capabilities),
    root: { path: 'rootfs', readonly: hostConfig.ReadonlyRootfs },
    ...(hostConfig.UTSMode === 'host' ? {} : { hostname: config.Hostname }),
    ...(config.Domainname === '' || hostConfig.UTSMode === 'host' ? {} : { domainname: config.Domainname }),
    mounts: mountsOf(input),
    ...(hostConfig.Annotations === undefined ? {} : { annotations: hostConfig.Annotations }),
    linux: {
      ...idMappingsOf(record),
      sysctl: sysctlsOf(record),
      resources: {
        ...resourcesOf(hostConfig, input.deviceNumbers),
        devices: deviceRules({ privileged, devices: input.devices, rules: hostConfig.DeviceCgroupRules ?? [] }),
      },
      cgroupsPath: input.cgroupsPath,
      namespaces: namespacesOf(input),
      devices: input.devices,
      ...(seccomp === undefined ? {} : { seccomp }),
      rootfsPropagation: rootPropagation(record),
      maskedPaths: privileged ? [] : (hostConfig.MaskedPaths ?? defaultMaskedPaths(input.possibleCpus)),
      readonlyPaths: privileged ? [] : (hostConfig.ReadonlyPaths ?? [...defaultReadonlyPaths]),
    },
  };
}

/** For `linux` of a specification. */
export function idMappingsOf(record: ContainerRecord): Pick<Linux, 'uidMappings' | 'gidMappings'> {
  const { userns } = record;
  return userns === undefined ? {} : { uidMappings: userns.uids, gidMappings: userns.gids };
}

function capabilitiesOf(input: SpecInput): string[] {
  const { hostConfig } = input.record;
  return effectiveCapabilities({
    add: hostConfig.CapAdd ?? [],
    drop: hostConfig.CapDrop ?? [],
    privileged: hostConfig.Privileged,
    bounding: input.bounding,
  });
}

function processOf(input: SpecInput, capabilities: readonly string[]): Process {
  const { config, hostConfig } = input.record;
  const options = parseSecurityOptions(hostConfig.SecurityOpt ?? []);
  const command = [input.record.path, ...input.record.args];
  const args = input.initFile === undefined ? command : ['/sbin/docker-init', '--', ...command];
  const [height, width] = input.consoleSize ?? [0, 0];
  return {
    terminal: config.Tty,
    ...(config.Tty && height > 0 && width > 0 ? { consoleSize: { height, width } } : {}),
    cwd: config.WorkingDir === '' ? '/' : config.WorkingDir,
    env: overrideEnv(processEnv(config, input.linkEnv), input.secretEnv ?? []),
    args,
    rlimits: rlimitsOf(hostConfig, input.defaultUlimits),
    ...(input.apparmorProfile === '' ? {} : { apparmorProfile: input.apparmorProfile }),
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    noNewPrivileges: options.noNewPrivileges ?? input.noNewPrivilegesDefault,
    oomScoreAdj: hostConfig.OomScoreAdj,
    user: { uid: 0, gid: 0, username: config.User, additionalGroups: hostConfig.GroupAdd ?? [] },
  };
}

/** Those of the container's own; the ones that are not listed are the host's. */
export function namespacesOf(input: Pick<SpecInput, 'record' | 'joined' | 'cgroupVersion'>): Namespace[] {
  const { hostConfig } = input.record;
  const { joined } = input;
  const list: Namespace[] = [{ type: 'mount' }];
  const add = (type: Namespace['type'], ofHost: boolean, path: string | undefined): void => {
    if (!ofHost) list.push(path === undefined ? { type } : { type, path });
  };
  add('network', hostConfig.NetworkMode === 'host', joined.network);
  add('uts', hostConfig.UTSMode === 'host', undefined);
  add('pid', hostConfig.PidMode === 'host', joined.pid);
  add('ipc', hostConfig.IpcMode === 'host', joined.ipc);
  add('cgroup', !privateCgroupNamespace(input), undefined);
  add('user', input.record.userns === undefined, joined.user);
  return list;
}

/** Docker's default: private on cgroup v2 unless privileged, the host's on v1. */
function privateCgroupNamespace(input: Pick<SpecInput, 'record' | 'cgroupVersion'>): boolean {
  const mode = input.record.hostConfig.CgroupnsMode;
  if (mode !== '') return mode === 'private';
  return input.cgroupVersion === 2 && !input.record.hostConfig.Privileged;
}

function sysctlsOf(record: ContainerRecord): Record<string, string> {
  const { hostConfig } = record;
  const own = hostConfig.NetworkMode !== 'host' && !hostConfig.NetworkMode.startsWith('container:');
  const defaults = own
    ? { 'net.ipv4.ping_group_range': pingGroups(record), 'net.ipv4.ip_unprivileged_port_start': '0' }
    : {};
  return { ...defaults, ...hostConfig.Sysctls };
}

/** Every group that there is inside. */
function pingGroups({ userns }: ContainerRecord): string {
  if (userns === undefined) return '0 2147483647';
  // The kernel wants both ends mapped; ranges of a remapping follow each other from 0 on.
  return `0 ${userns.gids.reduce((end, { containerID, size }) => Math.max(end, containerID + size), 1) - 1}`;
}

/** A mount that must pass events to or from the host needs a root that does not cut them off. */
function rootPropagation(record: ContainerRecord): string {
  const asked = record.mounts.map((mount) => mount.propagation);
  if (asked.some((p) => p === 'shared' || p === 'rshared')) return 'shared';
  if (asked.some((p) => p === 'slave' || p === 'rslave')) return 'rslave';
  return 'rprivate';
}
