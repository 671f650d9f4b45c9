/** Which kernel settings a container may have: those of a namespace of its own. The words are runc's. */
import type { HostConfig } from '#api/types/host-config.ts';
import { invalidParameter } from '#errdefs/errors.ts';

const ipc = [
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
];

export function checkSysctls(host: Pick<HostConfig, 'Sysctls' | 'NetworkMode' | 'IpcMode' | 'UTSMode'>): void {
  for (const key of Object.keys(host.Sysctls ?? {})) {
    if (!/^[a-zA-Z0-9_][a-zA-Z0-9_./*-]*$/.test(key) || key.includes('..')) {
      throw invalidParameter(`invalid sysctl "${key}"`);
    }
    const name = key.replaceAll('/', '.');
    if (ipc.includes(name) || name.startsWith('fs.mqueue.')) {
      if (host.IpcMode === 'host') throw invalidParameter(`sysctl "${key}" is not allowed in the hosts ipc namespace`);
    } else if (name.startsWith('net.')) {
      if (host.NetworkMode === 'host') throw invalidParameter(`sysctl "${key}" not allowed in host network namespace`);
    } else if (name === 'kernel.domainname' || name === 'kernel.hostname') {
      if (host.UTSMode === 'host') throw invalidParameter(`sysctl "${key}" is not allowed in the hosts uts namespace`);
    } else {
      throw invalidParameter(`sysctl "${key}" is not in a separate kernel namespace`);
    }
  }
}
