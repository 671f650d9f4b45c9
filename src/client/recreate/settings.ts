/**
 * How a container differs from what its image and the daemon would make of nothing, as flags of `run`. Run again with
 * them the engine makes a container of the same configuration.
 */
import type { ContainerInspect, HealthConfig, HostConfig } from '#api/types/container.ts';
import type { MountRequest } from '#api/types/host-config.ts';
import type { ImageInspect } from '#api/types/image.ts';
import { quoteWord } from './quote.ts';

export interface Setting {
  /** Long name, without dashes. */
  readonly flag: string;
  /** Undefined: the flag stands alone. */
  readonly value?: string;
}

export interface Recipe {
  readonly settings: readonly Setting[];
  readonly image: string;
  /** After the image. */
  readonly command: readonly string[];
}

/** What a daemon does when it is not told. */
export interface Defaults {
  readonly cgroupVersion: string;
  readonly logDriver: string;
  readonly runtime: string;
}

const SHM_BYTES = 64 << 20;

export function recipeOf(container: ContainerInspect, image: ImageInspect | undefined, defaults: Defaults): Recipe {
  const { Config: config, HostConfig: host } = container;
  const settings: Setting[] = [];
  const add = (flag: string, value?: string) => void settings.push(value === undefined ? { flag } : { flag, value });
  const each = (flag: string, values: readonly string[] | null | undefined) =>
    values?.forEach((value) => add(flag, value));
  const text = (flag: string, value: string | undefined, usual = '') => {
    if (value !== undefined && value !== '' && value !== usual) add(flag, value);
  };
  const number = (flag: string, value: number | null | undefined, usual = 0) => {
    if (value !== null && value !== undefined && value !== usual) add(flag, String(value));
  };
  const alone = (flag: string, on: boolean | null | undefined) => on === true && add(flag);

  text('name', container.Name.replace(/^\//, ''));
  alone('detach', !config.AttachStdout && !config.AttachStderr && !config.AttachStdin);
  alone('interactive', config.OpenStdin);
  alone('tty', config.Tty);
  alone('rm', host.AutoRemove);
  const own = image?.Config;
  if (config.Hostname !== container.Id.slice(0, 12)) text('hostname', config.Hostname);
  text('domainname', config.Domainname);
  text('user', config.User, own?.User);
  text('workdir', config.WorkingDir, own?.WorkingDir);
  each('env', missingIn(config.Env, own?.Env));
  for (const [key, value] of Object.entries(config.Labels ?? {})) {
    if (own?.Labels?.[key] !== value) add('label', `${key}=${value}`);
  }
  for (const [key, value] of Object.entries(host.Annotations ?? {})) add('annotation', `${key}=${value}`);
  text('stop-signal', config.StopSignal, own?.StopSignal ?? '');
  if (config.StopTimeout !== undefined) add('stop-timeout', String(config.StopTimeout));
  settings.push(...health(config.Healthcheck, own?.Healthcheck));
  settings.push(...restart(host));
  alone('init', host.Init);
  settings.push(...networks(container, own?.ExposedPorts));
  settings.push(...storage(container, own?.Volumes));
  settings.push(...resources(host));
  alone('privileged', host.Privileged);
  each('cap-add', host.CapAdd);
  each('cap-drop', host.CapDrop);
  each('security-opt', host.SecurityOpt);
  if (!host.Privileged && host.MaskedPaths?.length === 0 && host.ReadonlyPaths?.length === 0) {
    add('security-opt', 'systempaths=unconfined');
  }
  each('group-add', host.GroupAdd);
  for (const [key, value] of Object.entries(host.Sysctls ?? {})) add('sysctl', `${key}=${value}`);
  text('ipc', host.IpcMode, 'private');
  text('pid', host.PidMode);
  text('uts', host.UTSMode);
  text('userns', host.UsernsMode);
  text('cgroupns', host.CgroupnsMode, defaults.cgroupVersion === '2' ? 'private' : 'host');
  text('cgroup-parent', host.CgroupParent);
  text('runtime', host.Runtime, defaults.runtime);
  text('isolation', host.Isolation, 'default');
  if (host.LogConfig.Type !== defaults.logDriver) text('log-driver', host.LogConfig.Type);
  for (const [key, value] of Object.entries(host.LogConfig.Config ?? {})) add('log-opt', `${key}=${value}`);
  number('oom-score-adj', host.OomScoreAdj);
  const { entrypoint, command } = commandOf(container, own);
  if (entrypoint !== undefined) add('entrypoint', entrypoint);
  return { settings, image: config.Image, command };
}

function missingIn(values: readonly string[] | null, known: readonly string[] | null | undefined): string[] {
  return (values ?? []).filter((value) => known?.includes(value) !== true);
}

type ImageConfig = ImageInspect['Config'];

/** `--entrypoint` takes one word; the others go before the command. */
function commandOf(
  { Config: { Entrypoint, Cmd } }: ContainerInspect,
  own: ImageConfig | undefined,
): { readonly entrypoint?: string; readonly command: readonly string[] } {
  const same = (a: readonly string[] | null | undefined, b: readonly string[] | null | undefined) =>
    JSON.stringify(a ?? []) === JSON.stringify(b ?? []);
  if (same(Entrypoint, own?.Entrypoint)) return { command: same(Cmd, own?.Cmd) ? [] : (Cmd ?? []) };
  const [entrypoint = '', ...rest] = Entrypoint ?? [];
  return { entrypoint, command: [...rest, ...(Cmd ?? [])] };
}

const NANOSECONDS = 1e9;
const goDuration = (nanoseconds: number) =>
  nanoseconds % NANOSECONDS === 0 ? `${nanoseconds / NANOSECONDS}s` : `${nanoseconds / 1e6}ms`;

function health(check: HealthConfig | undefined, own: HealthConfig | undefined): Setting[] {
  if (check === undefined || JSON.stringify(check) === JSON.stringify(own)) return [];
  const [kind, ...words] = check.Test ?? [];
  if (kind === 'NONE') return [{ flag: 'no-healthcheck' }];
  const settings: Setting[] = [];
  if (kind === 'CMD-SHELL') settings.push({ flag: 'health-cmd', value: words.join(' ') });
  else if (kind !== undefined) settings.push({ flag: 'health-cmd', value: words.map(quoteWord).join(' ') });
  for (const [flag, value] of [
    ['health-interval', check.Interval],
    ['health-timeout', check.Timeout],
    ['health-start-period', check.StartPeriod],
    ['health-start-interval', check.StartInterval],
  ] as const) {
    if (value !== undefined && value !== 0) settings.push({ flag, value: goDuration(value) });
  }
  if ((check.Retries ?? 0) !== 0) settings.push({ flag: 'health-retries', value: String(check.Retries) });
  return settings;
}

function restart({ RestartPolicy: { Name, MaximumRetryCount } }: HostConfig): Setting[] {
  if (Name === '' || Name === 'no') return [];
  const times = Name === 'on-failure' && MaximumRetryCount > 0 ? `:${MaximumRetryCount}` : '';
  return [{ flag: 'restart', value: `${Name}${times}` }];
}

function networks(container: ContainerInspect, exposed: Readonly<Record<string, unknown>> | undefined): Setting[] {
  const { HostConfig: host, NetworkSettings, Config, Id } = container;
  const settings: Setting[] = [];
  const ends = Object.entries(NetworkSettings.Networks ?? {});
  const mode = host.NetworkMode === 'default' ? 'bridge' : host.NetworkMode;
  if (/^(?:none|host|container:.*)$/.test(mode)) settings.push({ flag: 'network', value: mode });
  else {
    const first = ends.filter(([name]) => name === mode);
    for (const [name, end] of [...first, ...ends.filter((one) => !first.includes(one))]) {
      const aliases = (end.Aliases ?? []).filter((alias) => alias !== Id.slice(0, 12));
      const fields = [
        ...aliases.map((alias) => `alias=${alias}`),
        ...[end.IPAMConfig?.IPv4Address].filter((ip) => ip !== undefined && ip !== '').map((ip) => `ip=${ip}`),
        ...[end.IPAMConfig?.IPv6Address].filter((ip) => ip !== undefined && ip !== '').map((ip) => `ip6=${ip}`),
        ...Object.entries(end.DriverOpts ?? {}).map(([key, value]) => `driver-opt=${key}=${value}`),
      ];
      if (fields.length > 0) settings.push({ flag: 'network', value: csv([`name=${name}`, ...fields]) });
      else if (name !== 'bridge' || ends.length > 1) settings.push({ flag: 'network', value: name });
    }
  }
  for (const [port, bindings] of Object.entries(host.PortBindings ?? {})) {
    for (const { HostIp, HostPort } of bindings ?? []) {
      const ip = HostIp === '' ? '' : `${HostIp.includes(':') ? `[${HostIp}]` : HostIp}:`;
      const plain = port.replace(/\/tcp$/, '');
      settings.push({ flag: 'publish', value: HostPort === '' && ip === '' ? plain : `${ip}${HostPort}:${plain}` });
    }
  }
  for (const port of Object.keys(Config.ExposedPorts ?? {})) {
    if (exposed?.[port] === undefined && host.PortBindings?.[port] === undefined)
      settings.push({ flag: 'expose', value: port });
  }
  if (host.PublishAllPorts) settings.push({ flag: 'publish-all' });
  for (const [flag, values] of [
    ['dns', host.Dns],
    ['dns-option', host.DnsOptions],
    ['dns-search', host.DnsSearch],
    ['add-host', host.ExtraHosts],
    ['link', host.Links],
  ] as const) {
    for (const value of values ?? []) settings.push({ flag, value });
  }
  return settings;
}

function storage(container: ContainerInspect, own: Readonly<Record<string, unknown>> | null | undefined): Setting[] {
  const { HostConfig: host, Config } = container;
  const settings: Setting[] = [];
  for (const value of host.Binds ?? []) settings.push({ flag: 'volume', value });
  for (const mount of host.Mounts ?? []) settings.push({ flag: 'mount', value: csv(mountFields(mount)) });
  for (const place of Object.keys(Config.Volumes ?? {})) {
    if (own?.[place] === undefined) settings.push({ flag: 'volume', value: place });
  }
  for (const value of host.VolumesFrom ?? []) settings.push({ flag: 'volumes-from', value });
  if (host.VolumeDriver !== '') settings.push({ flag: 'volume-driver', value: host.VolumeDriver });
  for (const [place, options] of Object.entries(host.Tmpfs ?? {})) {
    settings.push({ flag: 'tmpfs', value: options === '' ? place : `${place}:${options}` });
  }
  for (const [key, value] of Object.entries(host.StorageOpt ?? {}))
    settings.push({ flag: 'storage-opt', value: `${key}=${value}` });
  for (const { Source, Type, Target, UID, GID, Mode } of host.Secrets ?? []) {
    const fields = [
      Source,
      ...(Type === undefined ? [] : [`type=${Type}`]),
      ...(Target === undefined ? [] : [`target=${Target}`]),
    ];
    if (UID !== undefined) fields.push(`uid=${UID}`);
    if (GID !== undefined) fields.push(`gid=${GID}`);
    if (Mode !== undefined) fields.push(`mode=${Mode.toString(8)}`);
    settings.push({ flag: 'secret', value: csv(fields) });
  }
  if (host.ReadonlyRootfs) settings.push({ flag: 'read-only' });
  if (host.ShmSize !== 0 && host.ShmSize !== SHM_BYTES)
    settings.push({ flag: 'shm-size', value: String(host.ShmSize) });
  return settings;
}

function mountFields(mount: MountRequest): string[] {
  const { BindOptions: bind, VolumeOptions: volume, TmpfsOptions: tmpfs, ImageOptions: image } = mount;
  const fields = [`type=${mount.Type ?? 'volume'}`];
  const add = (key: string, value: string | number | undefined) =>
    value !== undefined && value !== '' && fields.push(`${key}=${value}`);
  add('source', mount.Source);
  add('target', mount.Target);
  if (mount.ReadOnly === true) fields.push('readonly');
  add('consistency', mount.Consistency);
  add('bind-propagation', bind?.Propagation);
  if (bind?.NonRecursive === true) fields.push('bind-recursive=disabled');
  if (bind?.ReadOnlyNonRecursive === true) fields.push('bind-recursive=writable');
  if (bind?.ReadOnlyForceRecursive === true) fields.push('bind-recursive=readonly');
  if (volume?.NoCopy === true) fields.push('volume-nocopy');
  for (const [key, value] of Object.entries(volume?.Labels ?? {})) fields.push(`volume-label=${key}=${value}`);
  add('volume-subpath', volume?.Subpath);
  add('volume-driver', volume?.DriverConfig?.Name);
  for (const [key, value] of Object.entries(volume?.DriverConfig?.Options ?? {}))
    fields.push(`volume-opt=${key}=${value}`);
  add('image-subpath', image?.Subpath);
  add('tmpfs-size', tmpfs?.SizeBytes);
  if (tmpfs?.Mode !== undefined && tmpfs.Mode !== 0) fields.push(`tmpfs-mode=${tmpfs.Mode.toString(8)}`);
  return fields;
}

/** A field with a comma or a quote is quoted (RFC 4180). */
function csv(fields: readonly string[]): string {
  return fields.map((field) => (/[",\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)).join(',');
}

function resources(host: HostConfig): Setting[] {
  const settings: Setting[] = [];
  const number = (flag: string, value: number | null | undefined, usual = 0) => {
    if (value !== null && value !== undefined && value !== usual) settings.push({ flag, value: String(value) });
  };
  number('memory', host.Memory);
  number('memory-reservation', host.MemoryReservation);
  if (host.MemorySwap !== host.Memory * 2) number('memory-swap', host.MemorySwap);
  number('memory-swappiness', host.MemorySwappiness, -1);
  if (host.NanoCpus !== 0) settings.push({ flag: 'cpus', value: String(host.NanoCpus / 1e9) });
  number('cpu-shares', host.CpuShares);
  number('cpu-period', host.CpuPeriod);
  number('cpu-quota', host.CpuQuota);
  number('cpu-rt-period', host.CpuRealtimePeriod);
  number('cpu-rt-runtime', host.CpuRealtimeRuntime);
  if (host.CpusetCpus !== '') settings.push({ flag: 'cpuset-cpus', value: host.CpusetCpus });
  if (host.CpusetMems !== '') settings.push({ flag: 'cpuset-mems', value: host.CpusetMems });
  number('blkio-weight', host.BlkioWeight);
  for (const { Path, Weight } of host.BlkioWeightDevice ?? [])
    settings.push({ flag: 'blkio-weight-device', value: `${Path}:${Weight}` });
  for (const [flag, list] of [
    ['device-read-bps', host.BlkioDeviceReadBps],
    ['device-write-bps', host.BlkioDeviceWriteBps],
    ['device-read-iops', host.BlkioDeviceReadIOps],
    ['device-write-iops', host.BlkioDeviceWriteIOps],
  ] as const) {
    for (const { Path, Rate } of list ?? []) settings.push({ flag, value: `${Path}:${Rate}` });
  }
  number('pids-limit', host.PidsLimit);
  if (host.OomKillDisable === true) settings.push({ flag: 'oom-kill-disable' });
  for (const { Name, Soft, Hard } of host.Ulimits ?? [])
    settings.push({ flag: 'ulimit', value: `${Name}=${Soft}:${Hard}` });
  for (const { PathOnHost, PathInContainer, CgroupPermissions } of host.Devices ?? []) {
    settings.push({ flag: 'device', value: `${PathOnHost}:${PathInContainer}:${CgroupPermissions}` });
  }
  for (const value of host.DeviceCgroupRules ?? []) settings.push({ flag: 'device-cgroup-rule', value });
  for (const { Driver, DeviceIDs } of host.DeviceRequests ?? []) {
    if (Driver === 'cdi') for (const value of DeviceIDs ?? []) settings.push({ flag: 'device', value });
  }
  return settings;
}
