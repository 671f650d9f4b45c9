/**
 * Containers on the wire, Docker API ≤ 1.51. Requests are complete after decoding: what the client did not send has
 * Go's zero value (null for lists and maps); `?` marks what dockerd leaves out when empty. Field order is dockerd's.
 */
import type { HostConfig } from './host-config.ts';
import type { Descriptor } from './descriptor.ts';
import type { EndpointSettings, NetworkingConfig, NetworkSettings } from './network.ts';

export type { HostConfig } from './host-config.ts';
export type { EndpointSettings, NetworkingConfig, NetworkSettings } from './network.ts';

/** Times in nanoseconds; 0: inherited. */
export interface HealthConfig {
  Test?: string[];
  Interval?: number;
  Timeout?: number;
  StartPeriod?: number;
  StartInterval?: number;
  Retries?: number;
}

/** What does not depend on the host; also an image's `Config`. */
export interface ContainerConfig {
  Hostname: string;
  Domainname: string;
  User: string;
  AttachStdin: boolean;
  AttachStdout: boolean;
  AttachStderr: boolean;
  ExposedPorts?: Record<string, Record<string, never>>;
  Tty: boolean;
  OpenStdin: boolean;
  StdinOnce: boolean;
  Env: string[] | null;
  Cmd: string[] | null;
  Healthcheck?: HealthConfig;
  ArgsEscaped?: boolean;
  Image: string;
  Volumes: Record<string, Record<string, never>> | null;
  WorkingDir: string;
  Entrypoint: string[] | null;
  NetworkDisabled?: boolean;
  MacAddress?: string;
  OnBuild: string[] | null;
  Labels: Record<string, string> | null;
  StopSignal?: string;
  /** Seconds. */
  StopTimeout?: number;
  Shell?: string[];
}

export interface ContainerCreateRequest extends ContainerConfig {
  HostConfig: HostConfig;
  NetworkingConfig: NetworkingConfig;
}

export interface ContainerCreateResponse {
  Id: string;
  Warnings: string[];
}

export type ContainerStatus = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead';

export interface HealthProbe {
  Start: string;
  End: string;
  ExitCode: number;
  Output: string;
}

export interface Health {
  Status: 'none' | 'starting' | 'healthy' | 'unhealthy';
  FailingStreak: number;
  Log: HealthProbe[] | null;
}

export interface ContainerState {
  Status: ContainerStatus;
  Running: boolean;
  Paused: boolean;
  Restarting: boolean;
  OOMKilled: boolean;
  Dead: boolean;
  Pid: number;
  ExitCode: number;
  Error: string;
  /** RFC 3339 with nanoseconds; '0001-01-01T00:00:00Z' before the first. */
  StartedAt: string;
  FinishedAt: string;
  Health?: Health;
}

export interface MountPoint {
  Type?: string;
  Name?: string;
  Source: string;
  Destination: string;
  Driver?: string;
  Mode: string;
  RW: boolean;
  Propagation: string;
}

export interface GraphDriverState {
  Data: Record<string, string> | null;
  Name: string;
}

/** Waits between restarts by the policy; absent: 100 ms, one minute, ten seconds. */
export interface RestartBackoff {
  FirstMs?: number;
  MaxMs?: number;
  /** After so long a run the waits begin anew. */
  SteadyAfterMs?: number;
}

/** Lines that the container's log, or its remote, did not get since the daemon started; beyond Docker. */
export interface LogLost {
  Lines: number;
  Reason: string;
  At: string;
}

export interface ContainerInspect {
  Id: string;
  Created: string;
  Path: string;
  Args: string[];
  State: ContainerState;
  Image: string;
  ResolvConfPath: string;
  HostnamePath: string;
  HostsPath: string;
  LogPath: string;
  /** Only where there is something to tell. */
  LogLost?: LogLost;
  /** With the leading slash. */
  Name: string;
  RestartCount: number;
  Driver: string;
  Platform: string;
  MountLabel: string;
  ProcessLabel: string;
  AppArmorProfile: string;
  ExecIDs: string[] | null;
  HostConfig: HostConfig;
  GraphDriver: GraphDriverState;
  SizeRw?: number;
  SizeRootFs?: number;
  Mounts: MountPoint[];
  Config: ContainerConfig;
  NetworkSettings: NetworkSettings;
  ImageManifestDescriptor?: Descriptor;
  /** Ours; absent before the first update. */
  Berth?: { Revision: number; RestartBackoff?: RestartBackoff };
}

export interface PortSummary {
  IP?: string;
  PrivatePort: number;
  PublicPort?: number;
  Type: string;
}

export interface ContainerSummary {
  Id: string;
  Names: string[];
  Image: string;
  ImageID: string;
  ImageManifestDescriptor?: Descriptor;
  Command: string;
  /** Seconds since the epoch. */
  Created: number;
  Ports: PortSummary[];
  SizeRw?: number;
  SizeRootFs?: number;
  Labels: Record<string, string>;
  State: ContainerStatus;
  /** 'Up 3 minutes', 'Exited (0) 2 hours ago'. */
  Status: string;
  HostConfig: { NetworkMode?: string; Annotations?: Record<string, string> };
  NetworkSettings: { Networks: Record<string, EndpointSettings> };
  Mounts: MountPoint[];
}

export interface ContainerWaitResponse {
  StatusCode: number;
  /** Absent unless waiting itself failed. */
  Error?: { Message: string };
}

export interface ContainerTopResponse {
  Titles: string[];
  Processes: string[][];
}

/** X-Docker-Container-Path-Stat, base64 of this JSON. */
export interface ContainerPathStat {
  readonly name: string;
  readonly size: number;
  /** Bits of Go's os.FileMode. */
  readonly mode: number;
  /** RFC 3339. */
  readonly mtime: string;
  /** Where a link leads at last. */
  readonly linkTarget: string;
}

export interface ContainerChange {
  readonly Path: string;
  /** 0 modified, 1 added, 2 deleted. */
  readonly Kind: 0 | 1 | 2;
}
