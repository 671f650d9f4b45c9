/** What the stock docker CLI 28.2 sends when nothing is asked for: the starting point of tests. */
import type { KernelLimits } from '#libcontainer/cgroups/kernel-limits.ts';
import type { ContainerConfig } from '#api/types/container.ts';
import { emptyHostConfig } from '../empty-host-config.ts';

/** A kernel that can set every limit. */
export const allLimits: KernelLimits = {
  memory: true,
  swap: true,
  memoryReservation: true,
  swappiness: true,
  oomKillDisable: true,
  kernelMemory: true,
  kernelMemoryTcp: true,
  cpuShares: true,
  cpuCfs: true,
  cpuRealtime: true,
  cpuset: true,
  blkioWeight: true,
  blkioWeightDevice: true,
  blkioReadBps: true,
  blkioWriteBps: true,
  blkioReadIops: true,
  blkioWriteIops: true,
  pids: true,
  cgroupNamespaces: true,
};

export const emptyConfig: ContainerConfig = {
  Hostname: '',
  Domainname: '',
  User: '',
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: null,
  Cmd: null,
  Image: 'img',
  Volumes: {},
  WorkingDir: '',
  Entrypoint: null,
  OnBuild: null,
  Labels: {},
};

export const stockHostConfig = emptyHostConfig;
