/** The HostConfig of a step's container: Docker's defaults with what the build asks for. */
import type { ContainerConfig, HostConfig } from '#api/types/container.ts';
import type { StepRequest } from '#builder/backend.ts';
import { emptyHostConfig } from '#container/empty-host-config.ts';

const nothingAsked: HostConfig = {
  ...emptyHostConfig,
  // What a step says goes to whoever builds; nobody reads it later.
  LogConfig: { Type: 'none', Config: {} },
};

export function stepHostConfig({ network, privileged, extraHosts, securityOptions, limits }: StepRequest): HostConfig {
  return {
    ...nothingAsked,
    NetworkMode: network === '' ? 'default' : network,
    Privileged: privileged,
    ExtraHosts: extraHosts.length === 0 ? null : [...extraHosts],
    SecurityOpt: securityOptions.length === 0 ? null : [...securityOptions],
    Memory: limits.memoryBytes,
    MemorySwap: limits.memorySwapBytes,
    CpuShares: limits.cpuShares,
    CpuPeriod: limits.cpuPeriodUs,
    CpuQuota: limits.cpuQuotaUs,
    CpusetCpus: limits.cpusetCpus,
    CpusetMems: limits.cpusetMems,
    ShmSize: limits.shmSizeBytes,
    Ulimits: limits.ulimits.length === 0 ? null : limits.ulimits.map((limit) => ({ ...limit })),
    CgroupParent: limits.cgroupParent,
  };
}

export function stepConfig({ args, env, user, workdir, hostname, imageId }: StepRequest): ContainerConfig {
  return {
    Hostname: hostname,
    Domainname: '',
    User: user,
    AttachStdin: false,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: [...env],
    Cmd: [...args],
    Image: imageId,
    Volumes: null,
    WorkingDir: workdir,
    Entrypoint: null,
    OnBuild: null,
    Labels: {},
  };
}
