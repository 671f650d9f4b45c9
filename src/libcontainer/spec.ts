/**
 * The OCI runtime specification 1.2 as types: what a bundle's config.json says and what the daemon hands to libcontainer.
 * Spelling is the specification's, so that a Spec is written to and read from JSON as it is.
 *
 * Types only. `decodeSpec` (spec-decode.ts) turns outside JSON into one; `checkSpec` (spec-check.ts) refuses what this
 * runtime cannot do, by the name of the field.
 */
export const OCI_VERSION = '1.2.0';

export interface Spec {
  readonly ociVersion: string;
  readonly process?: Process;
  readonly root?: Root;
  readonly hostname?: string;
  readonly domainname?: string;
  readonly mounts?: readonly Mount[];
  readonly hooks?: Hooks;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly linux?: Linux;
}

export interface Root {
  readonly path: string;
  readonly readonly?: boolean;
}

export interface Process {
  readonly terminal?: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  readonly cwd: string;
  readonly env?: readonly string[];
  readonly args?: readonly string[];
  readonly rlimits?: readonly Rlimit[];
  readonly apparmorProfile?: string;
  readonly selinuxLabel?: string;
  readonly capabilities?: Capabilities;
  readonly noNewPrivileges?: boolean;
  readonly oomScoreAdj?: number;
  readonly ioPriority?: { readonly class: string; readonly priority: number };
  readonly scheduler?: Scheduler;
  readonly user: User;
}

export interface User {
  readonly uid: number;
  readonly gid: number;
  readonly umask?: number;
  readonly additionalGids?: readonly number[];
  /**
   * Berth's own: a user as an image or `docker run --user` words it (name, uid, name:group, uid:gid). It is looked up in
   * the container's /etc/passwd and /etc/group when the start is prepared; uid, gid and additionalGids then hold what is
   * to be added (groups) and are otherwise ignored.
   */
  readonly username?: string;
  /** Berth's own, with `username`: groups by name or number as `--group-add` words them. */
  readonly additionalGroups?: readonly string[];
}

export interface Rlimit {
  /** 'RLIMIT_NOFILE' … */
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

/** Names as in capabilities(7): 'CAP_CHOWN'. */
export interface Capabilities {
  readonly bounding?: readonly string[];
  readonly effective?: readonly string[];
  readonly inheritable?: readonly string[];
  readonly permitted?: readonly string[];
  readonly ambient?: readonly string[];
}

export interface Scheduler {
  readonly policy: string;
  readonly nice?: number;
  readonly priority?: number;
  readonly flags?: readonly string[];
  readonly runtime?: number;
  readonly deadline?: number;
  readonly period?: number;
}

export interface Mount {
  readonly destination: string;
  readonly type?: string;
  readonly source?: string;
  readonly options?: readonly string[];
  readonly uidMappings?: readonly IdMapping[];
  readonly gidMappings?: readonly IdMapping[];
  /** Berth's own: a detached mount the caller made (volume, generated file); it takes the place of `source`. */
  readonly sourceFd?: number;
}

export interface Hooks {
  readonly prestart?: readonly Hook[];
  readonly createRuntime?: readonly Hook[];
  readonly createContainer?: readonly Hook[];
  readonly startContainer?: readonly Hook[];
  readonly poststart?: readonly Hook[];
  readonly poststop?: readonly Hook[];
}

export interface Hook {
  readonly path: string;
  readonly args?: readonly string[];
  readonly env?: readonly string[];
  /** Seconds. */
  readonly timeout?: number;
}

export const namespaceTypes = ['mount', 'pid', 'network', 'ipc', 'uts', 'cgroup', 'user', 'time'] as const;
export type NamespaceType = (typeof namespaceTypes)[number];

export interface Namespace {
  readonly type: NamespaceType;
  /** Joined when given (a path such as /proc/PID/ns/net), made when absent; a type that is not listed is the host's. */
  readonly path?: string;
}

export interface IdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

export interface Linux {
  readonly uidMappings?: readonly IdMapping[];
  readonly gidMappings?: readonly IdMapping[];
  readonly sysctl?: Readonly<Record<string, string>>;
  readonly resources?: Resources;
  readonly cgroupsPath?: string;
  readonly namespaces?: readonly Namespace[];
  readonly devices?: readonly Device[];
  readonly seccomp?: Seccomp;
  readonly rootfsPropagation?: string;
  readonly maskedPaths?: readonly string[];
  readonly readonlyPaths?: readonly string[];
  readonly mountLabel?: string;
  readonly intelRdt?: Readonly<Record<string, unknown>>;
  readonly personality?: { readonly domain: string; readonly flags?: readonly string[] };
  readonly timeOffsets?: Readonly<Record<string, { readonly secs?: number; readonly nanosecs?: number }>>;
}

export interface Device {
  /** 'c', 'b', 'u' or 'p'. */
  readonly type: string;
  readonly path: string;
  readonly major?: number;
  readonly minor?: number;
  readonly fileMode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

export interface DeviceRule {
  readonly allow: boolean;
  /** 'a', 'c' or 'b'; absent means all. */
  readonly type?: string;
  readonly major?: number;
  readonly minor?: number;
  /** Some of 'rwm'; absent means all. */
  readonly access?: string;
}

export interface Resources {
  readonly devices?: readonly DeviceRule[];
  readonly memory?: MemoryResources;
  readonly cpu?: CpuResources;
  readonly pids?: { readonly limit?: number };
  readonly blockIO?: BlockIoResources;
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[];
  readonly network?: {
    readonly classID?: number;
    readonly priorities?: readonly { readonly name: string; readonly priority: number }[];
  };
  readonly rdma?: Readonly<Record<string, { readonly hcaHandles?: number; readonly hcaObjects?: number }>>;
  /** Files of cgroup v2 and what is written to them. */
  readonly unified?: Readonly<Record<string, string>>;
}

export interface MemoryResources {
  /** Bytes; -1 is unlimited. */
  readonly limit?: number;
  readonly reservation?: number;
  /** Memory and swap together, bytes; -1 is unlimited. */
  readonly swap?: number;
  readonly kernel?: number;
  readonly kernelTCP?: number;
  readonly swappiness?: number;
  readonly disableOOMKiller?: boolean;
  readonly useHierarchy?: boolean;
  readonly checkBeforeUpdate?: boolean;
}

export interface CpuResources {
  readonly shares?: number;
  /** Microseconds of a period; -1 is unlimited. */
  readonly quota?: number;
  readonly burst?: number;
  readonly period?: number;
  readonly realtimeRuntime?: number;
  readonly realtimePeriod?: number;
  readonly cpus?: string;
  readonly mems?: string;
  readonly idle?: number;
}

export interface BlockIoResources {
  readonly weight?: number;
  readonly leafWeight?: number;
  readonly weightDevice?: readonly {
    readonly major: number;
    readonly minor: number;
    readonly weight?: number;
    readonly leafWeight?: number;
  }[];
  readonly throttleReadBpsDevice?: readonly ThrottleDevice[];
  readonly throttleWriteBpsDevice?: readonly ThrottleDevice[];
  readonly throttleReadIOPSDevice?: readonly ThrottleDevice[];
  readonly throttleWriteIOPSDevice?: readonly ThrottleDevice[];
}

export interface ThrottleDevice {
  readonly major: number;
  readonly minor: number;
  readonly rate: number;
}

export interface Seccomp {
  /** 'SCMP_ACT_ALLOW' … */
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  /** 'SCMP_ARCH_X86_64' … */
  readonly architectures?: readonly string[];
  /** 'SECCOMP_FILTER_FLAG_LOG' … */
  readonly flags?: readonly string[];
  readonly listenerPath?: string;
  readonly listenerMetadata?: string;
  readonly syscalls?: readonly SeccompRule[];
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArgument[];
}

export interface SeccompArgument {
  readonly index: number;
  /** Values up to 2^64 − 1: a JSON number is exact to 2^53 only, so a profile read from text may hold a bigint. */
  readonly value: number | bigint;
  readonly valueTwo?: number | bigint;
  /** 'SCMP_CMP_EQ' … */
  readonly op: string;
}

/** What `state` prints and hooks read on their standard input. */
export interface State {
  readonly ociVersion: string;
  readonly id: string;
  readonly status: 'creating' | 'created' | 'running' | 'stopped';
  readonly pid?: number;
  readonly bundle: string;
  readonly annotations?: Readonly<Record<string, string>>;
}
