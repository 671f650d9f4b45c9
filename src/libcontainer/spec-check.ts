/**
 * Whether a Spec makes sense for this runtime: values that contradict each other or that we do not support are refused by
 * the name of their field, before anything is made.
 */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import type { Hooks, Linux, Process, Spec } from './spec.ts';

const HOSTNAME_BYTES_MAX = 64;
const DEFAULT_SEPARATOR = /^(\d+)\.(\d+)\.(\d+)/;
const UID_MAX = 0xffff_fffe;
const OOM_SCORE_MAX = 1000;
const propagationNames = /^r?(private|slave|shared|unbindable)$/;

/** Errors: invalid-parameter, not-implemented; each names the field. */
export function checkSpec(spec: Spec): void {
  checkVersion(spec.ociVersion);
  if (spec.process !== undefined) checkProcess(spec.process);
  checkNames(spec);
  for (const [i, mount] of (spec.mounts ?? []).entries())
    if (!mount.destination.startsWith('/'))
      throw invalidParameter(`mounts[${i}].destination: "${mount.destination}" is not an absolute path`);
  if (spec.hooks !== undefined) checkHooks(spec.hooks);
  if (spec.linux !== undefined) checkLinux(spec.linux);
}

function checkVersion(version: string): void {
  const major = DEFAULT_SEPARATOR.exec(version)?.[1];
  if (major === undefined) throw invalidParameter(`ociVersion: "${version}" is not a version`);
  if (major !== '1') throw invalidParameter(`ociVersion: version ${version} is not supported`);
}

export function checkProcess(process: Process): void {
  if (!process.cwd.startsWith('/')) throw invalidParameter(`process.cwd: "${process.cwd}" is not an absolute path`);
  const { oomScoreAdj = 0, user } = process;
  if (Math.abs(oomScoreAdj) > OOM_SCORE_MAX)
    throw invalidParameter(`process.oomScoreAdj: ${oomScoreAdj} is not between -1000 and 1000`);
  for (const [name, id] of [
    ['uid', user.uid],
    ['gid', user.gid],
  ] as const)
    if (id < 0 || id > UID_MAX) throw invalidParameter(`process.user.${name}: ${id} is out of range`);
  if (process.selinuxLabel !== undefined && process.selinuxLabel !== '')
    throw notImplemented('process.selinuxLabel: SELinux labels are not supported');
  for (const [i, entry] of (process.env ?? []).entries())
    if (entry.startsWith('=')) throw invalidParameter(`process.env[${i}]: "${entry}" has no name`);
}

function checkNames(spec: Spec): void {
  for (const [field, name] of [
    ['hostname', spec.hostname],
    ['domainname', spec.domainname],
  ] as const) {
    if (name === undefined || name === '') continue;
    if (Buffer.byteLength(name) > HOSTNAME_BYTES_MAX)
      throw invalidParameter(`${field}: "${name}" is longer than ${HOSTNAME_BYTES_MAX} bytes`);
    const own = spec.linux?.namespaces?.some(({ type, path = '' }) => type === 'uts' && path === '');
    if (own !== true) throw invalidParameter(`${field}: cannot be set without a uts namespace of the container's own`);
  }
}

function checkHooks(hooks: Hooks): void {
  for (const [kind, list] of Object.entries(hooks))
    for (const [i, hook] of ((list ?? []) as NonNullable<Hooks['prestart']>).entries())
      if (!hook.path.startsWith('/'))
        throw invalidParameter(`hooks.${kind}[${i}].path: "${hook.path}" is not an absolute path`);
}

function checkLinux(linux: Linux): void {
  const { namespaces = [], uidMappings = [], gidMappings = [] } = linux;
  const userNamespace = namespaces.find(({ type }) => type === 'user');
  const newUser = userNamespace !== undefined && (userNamespace.path ?? '') === '';
  if (newUser && (uidMappings.length === 0 || gidMappings.length === 0))
    throw invalidParameter('linux.uidMappings: a new user namespace needs uidMappings and gidMappings');
  if (userNamespace === undefined && uidMappings.length + gidMappings.length > 0)
    throw invalidParameter('linux.uidMappings: mappings need a user namespace');
  if (linux.mountLabel !== undefined && linux.mountLabel !== '')
    throw notImplemented('linux.mountLabel: SELinux labels are not supported');
  if (linux.intelRdt !== undefined) throw notImplemented('linux.intelRdt: is not supported');
  const propagation = linux.rootfsPropagation ?? '';
  if (propagation !== '' && !propagationNames.test(propagation))
    throw invalidParameter(`linux.rootfsPropagation: unknown value "${propagation}"`);
  for (const clock of Object.keys(linux.timeOffsets ?? {}))
    if (clock !== 'monotonic' && clock !== 'boottime')
      throw invalidParameter(`linux.timeOffsets: unknown clock "${clock}"`);
  for (const [field, paths] of [
    ['maskedPaths', linux.maskedPaths],
    ['readonlyPaths', linux.readonlyPaths],
  ] as const)
    for (const [i, path] of (paths ?? []).entries())
      if (!path.startsWith('/')) throw invalidParameter(`linux.${field}[${i}]: "${path}" is not an absolute path`);
}
