/**
 * Kernel parameters of a container: only those that belong to one of its own namespaces may be set, since any other would
 * change the host.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import type { NamespaceType } from './spec.ts';

const ipcParameters = new Set([
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
]);

/** Namespace that a parameter belongs to; undefined when it is the whole machine's. */
function ownerOf(name: string): NamespaceType | undefined {
  if (name.startsWith('net.')) return 'network';
  if (name.startsWith('fs.mqueue.') || ipcParameters.has(name)) return 'ipc';
  return name === 'kernel.domainname' || name === 'kernel.hostname' ? 'uts' : undefined;
}

/**
 * 'net.ipv4.ip_forward' → 'sys/net/ipv4/ip_forward' below a procfs. With '/' as separator a '.' is part of a name
 * ('net/ipv4/conf/eth0.100/forwarding').
 */
export function sysctlPath(name: string): string {
  const slash = name.indexOf('/');
  const dot = name.indexOf('.');
  const dotted = slash === -1 || (dot !== -1 && dot < slash);
  const parts = dotted ? name.split('.').map((part) => part.replaceAll('/', '.')) : name.split('/');
  if (parts.some((part) => part === '' || part === '..' || part === '.'))
    throw invalidParameter(`Invalid sysctl "${name}"`);
  return `sys/${parts.join('/')}`;
}

/** Errors: invalid-parameter for a parameter that is not of one of these namespaces. */
export function checkSysctl(name: string, own: ReadonlySet<NamespaceType>): void {
  const dotted = sysctlPath(name).slice('sys/'.length).replaceAll('/', '.');
  const owner = ownerOf(dotted);
  if (owner === undefined) throw invalidParameter(`sysctl "${name}" is not in a separate kernel namespace`);
  if (!own.has(owner))
    throw invalidParameter(`sysctl "${name}" is not allowed as the container has no ${owner} namespace of its own`);
  if (dotted === 'kernel.hostname') throw invalidParameter('sysctl "kernel.hostname" is set by the hostname field');
}
