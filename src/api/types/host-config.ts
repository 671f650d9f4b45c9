/**
 * HostConfig on the wire, Docker API ≤ 1.51: what depends on the host. One type for create and inspect: the decoder of
 * a create request gives every field, in dockerd's order, with Go's zero value when the client did not send it; `?`
 * marks what dockerd leaves out when empty. Numbers beyond 2^53 lose precision (no kernel limit is near).
 */
import type { PortMap } from './network.ts';

export interface LogConfig {
  Type: string;
  Config: Record<string, string> | null;
}

export interface RestartPolicy {
  /** '' and 'no' are the same. */
  Name: '' | 'no' | 'always' | 'on-failure' | 'unless-stopped';
  MaximumRetryCount: number;
}

export interface WeightDevice {
  Path: string;
  Weight: number;
}

export interface ThrottleDevice {
  Path: string;
  Rate: number;
}

export interface DeviceMapping {
  PathOnHost: string;
  PathInContainer: string;
  CgroupPermissions: string;
}

export interface DeviceRequest {
  Driver: string;
  Count: number;
  DeviceIDs: string[] | null;
  Capabilities: string[][] | null;
  Options: Record<string, string> | null;
}

export interface Ulimit {
  Name: string;
  Hard: number;
  Soft: number;
}

export interface BindOptions {
  Propagation?: string;
  NonRecursive?: boolean;
  CreateMountpoint?: boolean;
  ReadOnlyNonRecursive?: boolean;
  ReadOnlyForceRecursive?: boolean;
}

export interface VolumeOptions {
  NoCopy?: boolean;
  Labels?: Record<string, string>;
  Subpath?: string;
  DriverConfig?: { Name?: string; Options?: Record<string, string> };
}

export interface ImageOptions {
  Subpath?: string;
}

export interface TmpfsOptions {
  SizeBytes?: number;
  Mode?: number;
  Options?: string[][];
}

/** An entry of HostConfig.Mounts (`--mount`). */
export interface MountRequest {
  /** 'bind', 'volume', 'tmpfs', 'image', 'artifact', 'npipe' or 'cluster'; checked by the daemon. */
  Type?: string;
  Source?: string;
  Target?: string;
  ReadOnly?: boolean;
  Consistency?: string;
  BindOptions?: BindOptions;
  VolumeOptions?: VolumeOptions;
  ImageOptions?: ImageOptions;
  TmpfsOptions?: TmpfsOptions;
  /** Our own, after podman: one file of an artifact. */
  ArtifactOptions?: { Title?: string; Digest?: string };
  /** Our own: 'true' or podman's maps (`uids=0-1000-1;gids=0-1000-1`). */
  IdMap?: string;
  /** Our own: podman's `U`. */
  Chown?: boolean;
}

/** A secret that the container is given (`berth run --secret`). Beyond Docker. */
export interface SecretRequest {
  /** Name or id. */
  Source: string;
  /** 'mount' or 'env'. */
  Type?: string;
  /** A path, from /run/secrets when it is relative; or a variable. */
  Target?: string;
  UID?: number;
  GID?: number;
  Mode?: number;
}

export interface Resources {
  CpuShares: number;
  Memory: number;
  NanoCpus: number;
  CgroupParent: string;
  BlkioWeight: number;
  BlkioWeightDevice: WeightDevice[] | null;
  BlkioDeviceReadBps: ThrottleDevice[] | null;
  BlkioDeviceWriteBps: ThrottleDevice[] | null;
  BlkioDeviceReadIOps: ThrottleDevice[] | null;
  BlkioDeviceWriteIOps: ThrottleDevice[] | null;
  CpuPeriod: number;
  CpuQuota: number;
  CpuRealtimePeriod: number;
  CpuRealtimeRuntime: number;
  CpusetCpus: string;
  CpusetMems: string;
  Devices: DeviceMapping[] | null;
  DeviceCgroupRules: string[] | null;
  DeviceRequests: DeviceRequest[] | null;
  /** Obsolete, sent by old clients. */
  KernelMemory?: number;
  KernelMemoryTCP?: number;
  MemoryReservation: number;
  /** -1: no limit. */
  MemorySwap: number;
  /** null or -1: the kernel's. */
  MemorySwappiness: number | null;
  OomKillDisable: boolean | null;
  PidsLimit: number | null;
  Ulimits: Ulimit[] | null;
  CpuCount: number;
  CpuPercent: number;
  IOMaximumIOps: number;
  IOMaximumBandwidth: number;
}

export interface HostConfig extends Resources {
  Binds: string[] | null;
  ContainerIDFile: string;
  LogConfig: LogConfig;
  NetworkMode: string;
  PortBindings: PortMap | null;
  RestartPolicy: RestartPolicy;
  AutoRemove: boolean;
  VolumeDriver: string;
  VolumesFrom: string[] | null;
  /** Height and width. */
  ConsoleSize: [number, number];
  Annotations?: Record<string, string>;
  CapAdd: string[] | null;
  CapDrop: string[] | null;
  CgroupnsMode: string;
  Dns: string[] | null;
  DnsOptions: string[] | null;
  DnsSearch: string[] | null;
  ExtraHosts: string[] | null;
  GroupAdd: string[] | null;
  IpcMode: string;
  Cgroup: string;
  Links: string[] | null;
  OomScoreAdj: number;
  PidMode: string;
  Privileged: boolean;
  PublishAllPorts: boolean;
  ReadonlyRootfs: boolean;
  SecurityOpt: string[] | null;
  StorageOpt?: Record<string, string>;
  Tmpfs?: Record<string, string>;
  UTSMode: string;
  UsernsMode: string;
  ShmSize: number;
  Sysctls?: Record<string, string>;
  Runtime?: string;
  Isolation: string;
  Mounts?: MountRequest[];
  Secrets?: SecretRequest[];
  /** null: the default list; []: none. */
  MaskedPaths: string[] | null;
  ReadonlyPaths: string[] | null;
  /** Absent: the daemon's setting. */
  Init?: boolean;
}
