/**
 * What `run` and `create` ask of the daemon, from their flags. Only what was asked for is sent: the API's zero values
 * mean the daemon's defaults.
 */
import type { CreateBody } from '#api/client/containers.ts';
import type { ContainerConfig } from '#api/types/container.ts';
import type { HostConfig, LogConfig, RestartPolicy } from '#api/types/host-config.ts';
import type { FlagValues } from '../flags/flag-spec.ts';
import { deviceRequests, isCdiName } from './device-request.ts';
import { parseDevice, parseSecurityOptions } from './device-option.ts';
import { endpointsOf, networkModeOf } from './endpoints.ts';
import { extensionLabels, healthOf } from './health-options.ts';
import { parseExposed, parsePublished } from './port-option.ts';
import type { CREATE_FLAGS } from './run-flags.ts';
import { readLabels, readVariables, toRecord } from './variables.ts';
import { splitVolumes } from './volume-option.ts';

export interface CreateInput {
  readonly values: FlagValues<typeof CREATE_FLAGS>;
  readonly given: ReadonlySet<string>;
  readonly image: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export function createBody(input: CreateInput): CreateBody {
  const { values } = input;
  const volumes = splitVolumes(values.volume);
  const published = parsePublished(values.publish);
  const exposed = { ...published.exposed, ...parseExposed(values.expose) };
  return {
    ...configOf(input),
    Volumes: volumes.anonymous.length === 0 ? null : Object.fromEntries(volumes.anonymous.map((path) => [path, {}])),
    ...(Object.keys(exposed).length === 0 ? {} : { ExposedPorts: exposed }),
    HostConfig: {
      ...hostConfigOf(input),
      ...limitsOf(input),
      Binds: orNull(volumes.binds),
      PortBindings: published.bindings,
    },
    NetworkingConfig: { EndpointsConfig: endpointsOf(values) },
  };
}

function configOf({ values, given, image, command, environment }: CreateInput): Partial<ContainerConfig> {
  const attach = new Set(values.attach);
  const all = attach.size === 0;
  const AttachStdin = values.interactive || attach.has('stdin');
  const healthcheck = healthOf(values);
  return {
    Hostname: values.hostname,
    Domainname: values.domainname,
    User: values.user,
    AttachStdin,
    AttachStdout: all || attach.has('stdout'),
    AttachStderr: all || attach.has('stderr'),
    Tty: values.tty,
    OpenStdin: values.interactive,
    StdinOnce: values.interactive && AttachStdin,
    Env: readVariables(values['env-file'], values.env, environment),
    Cmd: orNull(command),
    Image: image,
    WorkingDir: values.workdir,
    // An empty --entrypoint takes the image's away.
    Entrypoint: given.has('entrypoint') ? [values.entrypoint] : null,
    OnBuild: null,
    Labels: { ...readLabels(values['label-file'], values.label), ...extensionLabels(values) },
    ...(healthcheck === undefined ? {} : { Healthcheck: healthcheck }),
    ...(values['mac-address'] === '' ? {} : { MacAddress: values['mac-address'] }),
    ...(values['stop-signal'] === '' ? {} : { StopSignal: values['stop-signal'] }),
    ...(given.has('stop-timeout') ? { StopTimeout: values['stop-timeout'] } : {}),
  };
}

function hostConfigOf({ values, given }: CreateInput): Partial<HostConfig> {
  if (values.rm && !['', 'no'].includes(values.restart))
    throw new Error('conflicting options: cannot specify both --restart and --rm');
  refuseUnknownModes(values);
  if (
    values['mac-address'] !== '' &&
    !/^[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}$/i.test(values['mac-address'])
  ) {
    throw new Error(`${values['mac-address']} is not a valid mac address`);
  }
  const security = parseSecurityOptions(values['security-opt']);
  return {
    ContainerIDFile: values.cidfile,
    LogConfig: logOf(values),
    NetworkMode: networkModeOf(values),
    RestartPolicy: restartOf(values.restart),
    AutoRemove: values.rm,
    VolumeDriver: values['volume-driver'],
    VolumesFrom: orNull(values['volumes-from']),
    CapAdd: orNull(values['cap-add']),
    CapDrop: orNull(values['cap-drop']),
    CgroupnsMode: values.cgroupns,
    Dns: orNull(values.dns),
    DnsOptions: orNull([...values['dns-option'], ...values['dns-opt']]),
    DnsSearch: orNull(values['dns-search']),
    ExtraHosts: orNull(values['add-host']),
    GroupAdd: orNull(values['group-add']),
    IpcMode: values.ipc,
    Links: orNull(values.link),
    OomScoreAdj: values['oom-score-adj'],
    PidMode: values.pid,
    Privileged: values.privileged,
    PublishAllPorts: values['publish-all'],
    ReadonlyRootfs: values['read-only'],
    SecurityOpt: orNull(security.options),
    UTSMode: values.uts,
    UsernsMode: values.userns,
    ShmSize: values['shm-size'],
    Isolation: values.isolation,
    ...(security.unmasked ? { MaskedPaths: [], ReadonlyPaths: [] } : {}),
    ...(values.annotation.length === 0 ? {} : { Annotations: toRecord(values.annotation) }),
    ...(values['storage-opt'].length === 0 ? {} : { StorageOpt: storageOf(values['storage-opt']) }),
    ...(values.tmpfs.length === 0 ? {} : { Tmpfs: tmpfsOf(values.tmpfs) }),
    ...(values.sysctl.length === 0 ? {} : { Sysctls: toRecord(values.sysctl) }),
    ...(values.runtime === '' ? {} : { Runtime: values.runtime }),
    ...(values.mount.length === 0 ? {} : { Mounts: [...values.mount] }),
    ...(values.secret.length === 0 ? {} : { Secrets: [...values.secret] }),
    ...(given.has('init') ? { Init: values.init } : {}),
  };
}

/** Kinds of namespaces whose wrong names docker's client refuses itself; `auto` and the like of userns are the daemon's. */
function refuseUnknownModes({ pid, uts, cgroupns, userns }: CreateInput['values']): void {
  if (!/^(?:host|container:.+)?$/.test(pid)) throw new Error('--pid: invalid PID mode');
  if (!['', 'host'].includes(uts)) throw new Error('--uts: invalid UTS mode');
  if (!/^(?:host|(?:auto|keep-id|private)(?::.*)?)?$/.test(userns)) throw new Error('--userns: invalid USER mode');
  if (!['', 'host', 'private'].includes(cgroupns)) throw new Error('--cgroupns: invalid CGROUP mode');
}

function limitsOf({ values, given }: CreateInput): Partial<HostConfig> {
  const swappiness = values['memory-swappiness'];
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100)) {
    throw new Error(`invalid value: ${swappiness}. Valid memory swappiness range is 0-100`);
  }
  return {
    CpuShares: values['cpu-shares'],
    Memory: values.memory,
    NanoCpus: values.cpus,
    CgroupParent: values['cgroup-parent'],
    BlkioWeight: values['blkio-weight'],
    BlkioWeightDevice: orNull(values['blkio-weight-device']),
    BlkioDeviceReadBps: orNull(values['device-read-bps']),
    BlkioDeviceWriteBps: orNull(values['device-write-bps']),
    BlkioDeviceReadIOps: orNull(values['device-read-iops']),
    BlkioDeviceWriteIOps: orNull(values['device-write-iops']),
    CpuPeriod: values['cpu-period'],
    CpuQuota: values['cpu-quota'],
    CpuRealtimePeriod: values['cpu-rt-period'],
    CpuRealtimeRuntime: values['cpu-rt-runtime'],
    CpusetCpus: values['cpuset-cpus'],
    CpusetMems: values['cpuset-mems'],
    Devices: orNull(values.device.filter((text) => !isCdiName(text)).map((text) => parseDevice(text))),
    DeviceRequests: orNull(deviceRequests(values.device, values.gpus)),
    DeviceCgroupRules: orNull(values['device-cgroup-rule']),
    MemoryReservation: values['memory-reservation'],
    MemorySwap: values['memory-swap'],
    ...(swappiness === -1 ? {} : { MemorySwappiness: swappiness }),
    ...(given.has('oom-kill-disable') ? { OomKillDisable: values['oom-kill-disable'] } : {}),
    ...(given.has('pids-limit') ? { PidsLimit: values['pids-limit'] } : {}),
    Ulimits: orNull(values.ulimit),
  };
}

function logOf(values: CreateInput['values']): LogConfig {
  const options = toRecord(values['log-opt']);
  if (values['log-driver'] === 'none' && values['log-opt'].length > 0) {
    throw new Error('invalid logging opts for driver none');
  }
  return { Type: values['log-driver'], Config: options };
}

/** Whether the name is known is the daemon's to say. */
export function restartOf(text: string): RestartPolicy {
  const [name = '', count, ...more] = text.split(':');
  if (count !== undefined && (more.length > 0 || !/^-?\d+$/.test(count))) {
    throw new Error('invalid restart policy format: maximum retry count must be an integer');
  }
  // as: a wrong name goes to the daemon, which refuses it by name.
  return { Name: name as RestartPolicy['Name'], MaximumRetryCount: Number(count ?? 0) };
}

function storageOf(texts: readonly string[]): Record<string, string> {
  if (texts.some((text) => !text.includes('='))) throw new Error('invalid storage option');
  return toRecord(texts);
}

/** `/run:size=1m` → path and options. */
function tmpfsOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const [path = '', options = ''] = text.split(/:(.*)/s);
      return [path, options];
    }),
  );
}

function orNull<T>(list: readonly T[]): T[] | null {
  return list.length === 0 ? null : [...list];
}

/** A combination of flags that makes no sense: told as docker does, before anything is asked of the daemon. */
