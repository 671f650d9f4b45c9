/** The body of POST /containers/create, and what clients of older API versions mean by it. */
import type {
  ContainerConfig,
  ContainerCreateRequest,
  HealthConfig,
  HostConfig,
  NetworkingConfig,
} from '#api/types/container.ts';
import type {
  BindOptions,
  DeviceMapping,
  DeviceRequest,
  ImageOptions,
  LogConfig,
  MountRequest,
  Resources,
  RestartPolicy,
  SecretRequest,
  ThrottleDevice,
  TmpfsOptions,
  Ulimit,
  VolumeOptions,
  WeightDevice,
} from '#api/types/host-config.ts';
import type { EndpointIpamConfig, EndpointSettings, PortBinding } from '#api/types/network.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import {
  type Decode,
  flag,
  int,
  int64,
  list,
  map,
  nullable,
  omitEmpty,
  optional,
  pair,
  type Shape,
  set,
  strSlice,
  struct,
  text,
  textMap,
  texts,
  uint16,
  uint32,
  uint64,
} from './fields.ts';

export const health = struct<HealthConfig>('container.HealthConfig', {
  Test: omitEmpty(texts),
  Interval: omitEmpty(int64),
  Timeout: omitEmpty(int64),
  StartPeriod: omitEmpty(int64),
  StartInterval: omitEmpty(int64),
  Retries: omitEmpty(int),
});

const configShape: Shape<ContainerConfig> = {
  Hostname: text,
  Domainname: text,
  User: text,
  AttachStdin: flag,
  AttachStdout: flag,
  AttachStderr: flag,
  ExposedPorts: omitEmpty(set),
  Tty: flag,
  OpenStdin: flag,
  StdinOnce: flag,
  Env: texts,
  Cmd: strSlice,
  Healthcheck: optional(health),
  ArgsEscaped: omitEmpty(flag),
  Image: text,
  Volumes: set,
  WorkingDir: text,
  Entrypoint: strSlice,
  NetworkDisabled: omitEmpty(flag),
  MacAddress: omitEmpty(text),
  OnBuild: texts,
  Labels: textMap,
  StopSignal: omitEmpty(text),
  StopTimeout: optional(int),
  Shell: omitEmpty(strSlice),
};

const RESTART_POLICIES = ['', 'no', 'always', 'on-failure', 'unless-stopped'] as const;

const restartPolicyName: Decode<RestartPolicy['Name']> = (value, place) => {
  const name = text(value, place);
  const known = RESTART_POLICIES.find((policy) => policy === name);
  if (known !== undefined) return known;
  throw invalidParameter(
    `invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
  );
};

export const restartPolicy = struct<RestartPolicy>('container.RestartPolicy', {
  Name: restartPolicyName,
  MaximumRetryCount: int,
});

const throttle = list(
  struct<ThrottleDevice>('blkiodev.ThrottleDevice', { Path: text, Rate: uint64 }),
  '*blkiodev.ThrottleDevice',
);

const bindOptions = struct<BindOptions>('mount.BindOptions', {
  Propagation: omitEmpty(text),
  NonRecursive: omitEmpty(flag),
  CreateMountpoint: omitEmpty(flag),
  ReadOnlyNonRecursive: omitEmpty(flag),
  ReadOnlyForceRecursive: omitEmpty(flag),
});

const volumeOptions = struct<VolumeOptions>('mount.VolumeOptions', {
  NoCopy: omitEmpty(flag),
  Labels: omitEmpty(textMap),
  Subpath: omitEmpty(text),
  DriverConfig: optional(
    struct<NonNullable<VolumeOptions['DriverConfig']>>('mount.Driver', {
      Name: omitEmpty(text),
      Options: omitEmpty(textMap),
    }),
  ),
});

const mount = struct<MountRequest>('mount.Mount', {
  Type: omitEmpty(text),
  Source: omitEmpty(text),
  Target: omitEmpty(text),
  ReadOnly: omitEmpty(flag),
  Consistency: omitEmpty(text),
  IdMap: omitEmpty(text),
  Chown: omitEmpty(flag),
  BindOptions: optional(bindOptions),
  VolumeOptions: optional(volumeOptions),
  ImageOptions: optional(struct<ImageOptions>('mount.ImageOptions', { Subpath: omitEmpty(text) })),
  TmpfsOptions: optional(
    struct<TmpfsOptions>('mount.TmpfsOptions', {
      SizeBytes: omitEmpty(int64),
      Mode: omitEmpty(uint32),
      Options: omitEmpty(list(listOfTexts, '[]string')),
    }),
  ),
  ArtifactOptions: optional(
    struct<NonNullable<MountRequest['ArtifactOptions']>>('mount.ArtifactOptions', {
      Title: omitEmpty(text),
      Digest: omitEmpty(text),
    }),
  ),
});

const secret = struct<SecretRequest>('berth.Secret', {
  Source: text,
  Type: omitEmpty(text),
  Target: omitEmpty(text),
  UID: optional(uint32),
  GID: optional(uint32),
  Mode: optional(uint32),
});

function listOfTexts(value: unknown, place: { struct: string; path: string }): string[] {
  return texts(value, place) ?? [];
}

const portBinding = struct<PortBinding>('nat.PortBinding', { HostIp: text, HostPort: text });

export const portMap = map(list(portBinding, 'nat.PortBinding'), '[]nat.PortBinding');

export const resourcesShape: Shape<Resources> = {
  CpuShares: int64,
  Memory: int64,
  NanoCpus: int64,
  CgroupParent: text,
  BlkioWeight: uint16,
  BlkioWeightDevice: list(
    struct<WeightDevice>('blkiodev.WeightDevice', { Path: text, Weight: uint16 }),
    '*blkiodev.WeightDevice',
  ),
  BlkioDeviceReadBps: throttle,
  BlkioDeviceWriteBps: throttle,
  BlkioDeviceReadIOps: throttle,
  BlkioDeviceWriteIOps: throttle,
  CpuPeriod: int64,
  CpuQuota: int64,
  CpuRealtimePeriod: int64,
  CpuRealtimeRuntime: int64,
  CpusetCpus: text,
  CpusetMems: text,
  Devices: list(
    struct<DeviceMapping>('container.DeviceMapping', {
      PathOnHost: text,
      PathInContainer: text,
      CgroupPermissions: text,
    }),
    'container.DeviceMapping',
  ),
  DeviceCgroupRules: texts,
  DeviceRequests: list(
    struct<DeviceRequest>('container.DeviceRequest', {
      Driver: text,
      Count: int,
      DeviceIDs: texts,
      Capabilities: list(listOfTexts, '[]string'),
      Options: textMap,
    }),
    'container.DeviceRequest',
  ),
  KernelMemory: omitEmpty(int64),
  KernelMemoryTCP: omitEmpty(int64),
  MemoryReservation: int64,
  MemorySwap: int64,
  MemorySwappiness: nullable(int64),
  OomKillDisable: nullable(flag),
  PidsLimit: nullable(int64),
  Ulimits: list(struct<Ulimit>('units.Ulimit', { Name: text, Hard: int64, Soft: int64 }), '*units.Ulimit'),
  CpuCount: int64,
  CpuPercent: int64,
  IOMaximumIOps: uint64,
  IOMaximumBandwidth: uint64,
};

const hostConfigShape: Shape<HostConfig> = {
  Binds: texts,
  ContainerIDFile: text,
  LogConfig: struct<LogConfig>('container.LogConfig', { Type: text, Config: textMap }),
  NetworkMode: text,
  PortBindings: portMap,
  RestartPolicy: restartPolicy,
  AutoRemove: flag,
  VolumeDriver: text,
  VolumesFrom: texts,
  ConsoleSize: pair,
  Annotations: omitEmpty(textMap),
  CapAdd: strSlice,
  CapDrop: strSlice,
  CgroupnsMode: text,
  Dns: texts,
  DnsOptions: texts,
  DnsSearch: texts,
  ExtraHosts: texts,
  GroupAdd: texts,
  IpcMode: text,
  Cgroup: text,
  Links: texts,
  OomScoreAdj: int,
  PidMode: text,
  Privileged: flag,
  PublishAllPorts: flag,
  ReadonlyRootfs: flag,
  SecurityOpt: texts,
  StorageOpt: omitEmpty(textMap),
  Tmpfs: omitEmpty(textMap),
  UTSMode: text,
  UsernsMode: text,
  ShmSize: int64,
  Sysctls: omitEmpty(textMap),
  Runtime: omitEmpty(text),
  Isolation: text,
  ...resourcesShape,
  Mounts: omitEmpty(list(mount, 'mount.Mount')),
  Secrets: omitEmpty(list(secret, 'berth.Secret')),
  MaskedPaths: texts,
  ReadonlyPaths: texts,
  Init: optional(flag),
};

export const endpoint = struct<EndpointSettings>('network.EndpointSettings', {
  IPAMConfig: nullable(
    struct<EndpointIpamConfig>('network.EndpointIPAMConfig', {
      IPv4Address: omitEmpty(text),
      IPv6Address: omitEmpty(text),
      LinkLocalIPs: omitEmpty(texts),
    }),
  ),
  Links: texts,
  Aliases: texts,
  MacAddress: text,
  DriverOpts: textMap,
  GwPriority: int,
  NetworkID: text,
  EndpointID: text,
  Gateway: text,
  IPAddress: text,
  IPPrefixLen: int,
  IPv6Gateway: text,
  GlobalIPv6Address: text,
  GlobalIPv6PrefixLen: int,
  DNSNames: texts,
});

const networkingConfig = struct<NetworkingConfig>('network.NetworkingConfig', {
  EndpointsConfig: map(endpoint, '*network.EndpointSettings'),
});

const createRequest = struct<ContainerCreateRequest>('container.CreateRequest', {
  ...configShape,
  HostConfig: struct<HostConfig>('container.HostConfig', hostConfigShape),
  NetworkingConfig: networkingConfig,
});

const containerConfig = struct<ContainerConfig>('container.Config', configShape);

/** Of a commit; undefined when there is none. */
export function decodeConfig(body: unknown): ContainerConfig | undefined {
  if (body === undefined || body === null) return undefined;
  return containerConfig(body, { struct: 'ContainerConfig', path: '' });
}

const CONFIG_NAMES = new Set(Object.keys(configShape).map((name) => name.toLowerCase()));

/** `minor` is the client's API version 1.minor. Errors: invalid-parameter naming the field. */
export function decodeCreateRequest(body: unknown, minor: number): ContainerCreateRequest {
  const request = createRequest(body, { struct: 'CreateRequest', path: '' });
  const hasConfig =
    typeof body === 'object' && body !== null && Object.keys(body).some((key) => CONFIG_NAMES.has(key.toLowerCase()));
  if (!hasConfig) throw invalidParameter('config cannot be empty in order to create a container');
  const host = request.HostConfig;
  if (host.NetworkMode === '') host.NetworkMode = 'default';
  // 0 and -1 both mean no limit; dockerd keeps neither.
  if (host.PidsLimit !== null && host.PidsLimit <= 0) host.PidsLimit = null;
  if (minor >= 42) delete host.KernelMemory;
  if (minor < 40 && host.IpcMode === '') host.IpcMode = 'shareable';
  if (minor < 42) host.ConsoleSize = [0, 0];
  if (minor < 43) delete host.Annotations;
  for (const { BindOptions: bind } of minor < 44 ? (host.Mounts ?? []) : []) {
    delete bind?.ReadOnlyNonRecursive;
    delete bind?.ReadOnlyForceRecursive;
  }
  if (minor < 44 && request.Healthcheck !== undefined) delete request.Healthcheck.StartInterval;
  return request;
}
