/** `GET /info`: true of this host and daemon, with every key that the API names. */
import * as fs from 'node:fs';
import type { SystemInfo } from '#api/types/system.ts';
import type { RegistryConfig } from '#config/registries.ts';
import { isRunningOrRestarting } from '#container/state.ts';
import { rfc3339, nowNs } from '#pkg/clock/clock.ts';
import { logDrivers } from '#logger/log-target.ts';
import { discoveredDevices } from '../container/cdi.ts';
import type { Services } from '../services.ts';

export function systemInfo(services: Services): SystemInfo {
  const { host, settings, isolation, build } = services;
  const records = services.containers.all();
  const count = (test: (status: string) => boolean): number => records.filter((r) => test(r.state.status)).length;
  const paused = count((status) => status === 'paused');
  const running = records.filter((record) => isRunningOrRestarting(record.state)).length - paused;
  const { limits } = isolation;
  const commit = { ID: build.commit };
  return {
    ID: services.daemonId,
    Containers: records.length,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: records.length - running - paused,
    Images: services.images.list().length,
    Driver: services.layers.driverName,
    DriverStatus: services.layers.driverStatus(),
    Plugins: {
      Volume: ['local', ...services.volumeDrivers.names()],
      Network: ['bridge', 'host', 'ipvlan', 'macvlan', 'null'],
      Authorization: settings.authorizationPlugins.length === 0 ? null : [...settings.authorizationPlugins],
      // `none` is no driver: nothing is kept.
      Log: logDrivers.filter((name) => name !== 'none'),
    },
    MemoryLimit: limits.memory,
    SwapLimit: limits.swap,
    CpuCfsPeriod: limits.cpuCfs,
    CpuCfsQuota: limits.cpuCfs,
    CPUShares: limits.cpuShares,
    CPUSet: limits.cpuset,
    PidsLimit: limits.pids,
    ...(limits.kernelMemoryTcp ? { KernelMemoryTCP: true } : {}),
    IPv4Forwarding: readFlag('/proc/sys/net/ipv4/ip_forward'),
    Debug: settings.debug,
    NFd: fs.readdirSync('/proc/self/fd').length,
    OomKillDisable: limits.oomKillDisable,
    NGoroutines: fs.readdirSync('/proc/self/task').length,
    SystemTime: rfc3339(nowNs()),
    LoggingDriver: settings.logDriver,
    CgroupDriver: isolation.cgroups.systemd ? 'systemd' : 'cgroupfs',
    CgroupVersion: isolation.cgroups.version === 2 ? '2' : '1',
    NEventsListener: services.events.listenerCount,
    KernelVersion: host.kernel,
    OperatingSystem: host.operatingSystem,
    OSVersion: host.osVersion,
    OSType: 'linux',
    Architecture: host.machine,
    IndexServerAddress: 'https://index.docker.io/v1/',
    RegistryConfig: registryFacts(settings.registries),
    NCPU: host.cpus,
    MemTotal: host.memoryBytes,
    GenericResources: null,
    DockerRootDir: settings.dataRoot,
    HttpProxy: withoutPassword(settings.registries.proxies.http),
    HttpsProxy: withoutPassword(settings.registries.proxies.https),
    NoProxy: settings.registries.proxies.none.join(','),
    Name: host.hostname,
    Labels: [...settings.labels],
    ExperimentalBuild: settings.engine.experimental,
    ServerVersion: build.version,
    Runtimes: runtimesOf(services),
    DefaultRuntime: settings.defaultRuntime,
    Swarm: {
      NodeID: '',
      NodeAddr: '',
      LocalNodeState: 'inactive',
      ControlAvailable: false,
      Error: '',
      RemoteManagers: null,
    },
    // Always: containers do not depend on the daemon.
    LiveRestoreEnabled: true,
    Isolation: '',
    InitBinary: settings.engine.initPath === '' ? 'docker-init' : settings.engine.initPath,
    ContainerdCommit: commit,
    RuncCommit: commit,
    InitCommit: commit,
    SecurityOptions: securityOptions(services),
    FirewallBackend: { Driver: 'nftables' },
    CDISpecDirs: [...settings.containerDefaults.cdiSpecDirs],
    ...discoveredOf(services),
    ...(services.settings.addressPools.length === 0
      ? {}
      : { DefaultAddressPools: services.settings.addressPools.map(({ base, size }) => ({ Base: base, Size: size })) }),
    Warnings: warningsOf(services),
  };
}

function registryFacts({ insecureRegistries, mirrors }: RegistryConfig): SystemInfo['RegistryConfig'] {
  const index = (name: string, secure: boolean, official: boolean) => ({
    Name: name,
    Mirrors: official ? mirrors.map((mirror) => `${mirror}/`) : [],
    Secure: secure,
    Official: official,
  });
  const hosts = insecureRegistries.filter((entry) => !entry.includes('/'));
  return {
    InsecureRegistryCIDRs: ['::1/128', '127.0.0.0/8', ...insecureRegistries.filter((entry) => entry.includes('/'))],
    IndexConfigs: {
      'docker.io': index('docker.io', true, true),
      ...Object.fromEntries(hosts.map((host) => [host, index(host, false, false)])),
    },
    Mirrors: mirrors.map((mirror) => `${mirror}/`),
  };
}

function withoutPassword(proxy: string): string {
  return proxy.replace(/^([a-z0-9+.-]+:\/\/)[^/@]*@/i, '$1xxxxx:xxxxx@');
}

function readFlag(file: string): boolean {
  try {
    return fs.readFileSync(file, 'utf8').trim() === '1';
  } catch {
    return false;
  }
}

function discoveredOf(services: Services): Pick<SystemInfo, 'DiscoveredDevices'> {
  const ids = discoveredDevices(services);
  return ids.length === 0 ? {} : { DiscoveredDevices: ids.map((ID) => ({ Source: 'cdi', ID })) };
}

function runtimesOf(services: Services): SystemInfo['Runtimes'] {
  return Object.fromEntries(
    [...services.runtimes.offered].map(([name, { path, args }]) => [
      name,
      { path, ...(args.length === 0 ? {} : { runtimeArgs: [...args] }) },
    ]),
  );
}

function securityOptions(services: Services): string[] {
  const options = services.isolation.apparmorProfile === '' ? [] : ['name=apparmor'];
  const { seccompDefault } = services;
  if (seccompDefault.profile !== undefined) options.push(`name=seccomp,profile=${seccompDefault.name}`);
  if (services.userns.remap !== undefined) options.push('name=userns');
  if (services.isolation.cgroups.version === 2) options.push('name=cgroupns');
  if (services.settings.noNewPrivileges) options.push('name=no-new-privileges');
  return options;
}

/** dockerd's words, then our own. */
function warningsOf(services: Services): string[] | null {
  const { limits, cgroups } = services.isolation;
  const v2 = cgroups.version === 2;
  const missing: readonly (readonly [boolean, string])[] = [
    [limits.memory, 'No memory limit support'],
    [limits.swap, 'No swap limit support'],
    [limits.oomKillDisable || v2, 'No oom kill disable support'],
    [limits.cpuCfs, 'No cpu cfs period support'],
    [limits.cpuCfs, 'No cpu cfs quota support'],
    [limits.cpuShares, 'No cpu shares support'],
    [limits.cpuset, 'No cpuset support'],
    [limits.pids, 'No pids limit support'],
    // On v1 the kernel has had none since Linux 5.0.
    [limits.blkioWeight || !v2, 'No io.weight support'],
    [limits.blkioWeightDevice || !v2, 'No io.weight (per device) support'],
    [limits.blkioReadBps, v2 ? 'No io.max (rbps) support' : 'No blkio throttle.read_bps_device support'],
    [limits.blkioWriteBps, v2 ? 'No io.max (wbps) support' : 'No blkio throttle.write_bps_device support'],
    [limits.blkioReadIops, v2 ? 'No io.max (riops) support' : 'No blkio throttle.read_iops_device support'],
    [limits.blkioWriteIops, v2 ? 'No io.max (wiops) support' : 'No blkio throttle.write_iops_device support'],
    [readFlag('/proc/sys/net/ipv4/ip_forward'), 'IPv4 forwarding is disabled'],
  ];
  const warnings = missing.filter(([there]) => !there).map(([, what]) => `WARNING: ${what}`);
  warnings.push(...services.isolation.warnings, ...(services.bridge()?.warnings ?? []).map((w) => `WARNING: ${w}`));
  return warnings.length === 0 ? null : warnings;
}
