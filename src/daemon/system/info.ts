/** `GET /info`: true of this host and daemon, with every key that the API names. */
import * as fs from 'node:fs';
import type { SystemInfo } from '#api/types/system.ts';
import { isRunningOrRestarting } from '#container/state.ts';
import { v1MountOf } from '#libcontainer/cgroups/detect.ts';
import { rfc3339, nowNs } from '#pkg/clock/clock.ts';
import { logDrivers } from '#logger/log-target.ts';
import type { Services } from '../services.ts';

export function systemInfo(services: Services): SystemInfo {
  const { host, settings, isolation, build } = services;
  const records = services.containers.all();
  const count = (test: (status: string) => boolean): number => records.filter((r) => test(r.state.status)).length;
  const paused = count((status) => status === 'paused');
  const running = records.filter((record) => isRunningOrRestarting(record.state)).length - paused;
  const limits = limitsOf(services);
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
      Network: ['bridge', 'host', 'null'],
      Authorization: null,
      Log: [...logDrivers],
    },
    MemoryLimit: limits.memory,
    SwapLimit: limits.swap,
    CpuCfsPeriod: limits.cpu,
    CpuCfsQuota: limits.cpu,
    CPUShares: limits.cpu,
    CPUSet: limits.cpuset,
    PidsLimit: limits.pids,
    IPv4Forwarding: readFlag('/proc/sys/net/ipv4/ip_forward'),
    Debug: settings.debug,
    NFd: fs.readdirSync('/proc/self/fd').length,
    OomKillDisable: isolation.cgroups.version === 1,
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
    RegistryConfig: {
      InsecureRegistryCIDRs: ['::1/128', '127.0.0.0/8'],
      IndexConfigs: { 'docker.io': { Name: 'docker.io', Mirrors: [], Secure: true, Official: true } },
      Mirrors: [],
    },
    NCPU: host.cpus,
    MemTotal: host.memoryBytes,
    GenericResources: null,
    DockerRootDir: settings.dataRoot,
    HttpProxy: process.env['HTTP_PROXY'] ?? process.env['http_proxy'] ?? '',
    HttpsProxy: process.env['HTTPS_PROXY'] ?? process.env['https_proxy'] ?? '',
    NoProxy: process.env['NO_PROXY'] ?? process.env['no_proxy'] ?? '',
    Name: host.hostname,
    Labels: [...settings.labels],
    ExperimentalBuild: false,
    ServerVersion: build.version,
    Runtimes: Object.fromEntries([...services.execDrivers.keys()].map((name) => [name, { path: name }])),
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
    InitBinary: 'docker-init',
    ContainerdCommit: commit,
    RuncCommit: commit,
    InitCommit: commit,
    SecurityOptions: securityOptions(services),
    FirewallBackend: { Driver: 'nftables' },
    CDISpecDirs: [],
    Warnings: warningsOf(limits, services),
  };
}

function readFlag(file: string): boolean {
  try {
    return fs.readFileSync(file, 'utf8').trim() === '1';
  } catch {
    return false;
  }
}

interface Limits {
  readonly memory: boolean;
  readonly swap: boolean;
  readonly cpu: boolean;
  readonly cpuset: boolean;
  readonly pids: boolean;
}

function limitsOf(services: Services): Limits {
  const { cgroups } = services.isolation;
  if (cgroups.version === 2) {
    const has = (name: string): boolean => cgroups.controllers.includes(name);
    return { memory: has('memory'), swap: has('memory'), cpu: has('cpu'), cpuset: has('cpuset'), pids: has('pids') };
  }
  const memory = v1MountOf(cgroups, 'memory');
  return {
    memory: memory !== undefined,
    swap: memory !== undefined && fs.existsSync(`${memory}/memory.memsw.limit_in_bytes`),
    cpu: v1MountOf(cgroups, 'cpu') !== undefined,
    cpuset: v1MountOf(cgroups, 'cpuset') !== undefined,
    pids: v1MountOf(cgroups, 'pids') !== undefined,
  };
}

function securityOptions(services: Services): string[] {
  const options = services.isolation.apparmorProfile === '' ? [] : ['name=apparmor'];
  options.push('name=seccomp,profile=builtin');
  if (services.userns.remap !== undefined) options.push('name=userns');
  if (services.isolation.cgroups.version === 2) options.push('name=cgroupns');
  if (services.settings.noNewPrivileges) options.push('name=no-new-privileges');
  return options;
}

/** dockerd's words, then our own. */
function warningsOf(limits: Limits, services: Services): string[] | null {
  const warnings: string[] = [];
  if (!limits.memory) warnings.push('WARNING: No memory limit support');
  if (!limits.swap) warnings.push('WARNING: No swap limit support');
  if (!limits.cpu) warnings.push('WARNING: No cpu cfs quota support', 'WARNING: No cpu shares support');
  if (!limits.cpuset) warnings.push('WARNING: No cpuset support');
  if (!limits.pids) warnings.push('WARNING: No pids limit support');
  if (!readFlag('/proc/sys/net/ipv4/ip_forward')) warnings.push('WARNING: IPv4 forwarding is disabled');
  warnings.push(...services.isolation.warnings, ...(services.bridge()?.warnings ?? []).map((w) => `WARNING: ${w}`));
  return warnings.length === 0 ? null : warnings;
}
