/**
 * Secrets of a container at its start: variables, and files in file systems of memory that only the container has. They
 * are made detached, so nothing of them is in any mount table of the host.
 */
import * as path from 'node:path';
import { parseSecrets, SECRETS_DIRECTORY, type SecretUse } from '#container/secret-request.ts';
import type { ContainerRecord } from '#container/record.ts';
import { invalidParameter, messageOf, notImplemented, systemError } from '#errdefs/errors.ts';
import { hostId } from '#libcontainer/id-map.ts';
import type { Mount } from '#libcontainer/spec.ts';
import { isErrno } from '#sys/errno.ts';
import { close, fchmod, fchown, openat, ownedFd, writeAll } from '#sys/files.ts';
import { attachedAt } from '#sys/mount-table.ts';
import { bindDetached, detachedTmpfs } from '#sys/mounts.ts';
import { MOUNT_ATTR, O } from '#sys/numbers.ts';
import { createFileInRoot } from '#sys/safe-path.ts';
import type { Services } from '../services.ts';

const NATIVE_RUNTIME = 'berth';
const PAGE_BYTES = 4096;
const ATTRIBUTES = MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | MOUNT_ATTR.NOEXEC;
const OPTIONS = ['rbind', 'ro', 'nosuid', 'nodev', 'noexec', 'rprivate'];

type FileUse = Extract<SecretUse, { kind: 'file' }>;

/** At create. Errors: invalid-parameter; not a not-found, for that sends `docker run` to pull the image. */
export function checkSecrets(services: Services, host: ContainerRecord['hostConfig']): void {
  const uses = parseSecrets(host.Secrets ?? []);
  for (const { secret } of uses) {
    try {
      services.secrets.resolve(secret);
    } catch (cause) {
      throw invalidParameter(messageOf(cause), { cause });
    }
  }
  // Another runtime is told by a file what to mount and which variables to set: the secrets would stand in it.
  if ((host.Runtime ?? NATIVE_RUNTIME) !== NATIVE_RUNTIME) {
    throw notImplemented(`secrets are not supported with the runtime "${host.Runtime ?? ''}"`);
  }
}

export interface OpenedSecrets extends Disposable {
  /** NAME=value. */
  readonly env: readonly string[];
  readonly mounts: readonly Mount[];
}

/** Dispose of it when the start is over: the container has its own by then. */
export function openSecrets(services: Services, record: ContainerRecord): OpenedSecrets {
  const uses = parseSecrets(record.hostConfig.Secrets ?? []);
  const env = uses.flatMap((use) => (use.kind === 'env' ? [variableOf(services, use.secret, use.variable)] : []));
  const files = uses.filter((use): use is FileUse => use.kind === 'file');
  const usual = files.filter((use) => path.dirname(use.target) === SECRETS_DIRECTORY);
  using held = new DisposableStack();
  const mounts: Mount[] = [];
  const add = (destination: string, fd: number): void => {
    mounts.push({ destination, type: 'bind', source: 'secrets', sourceFd: fd, options: OPTIONS });
  };
  if (usual.length > 0) add(SECRETS_DIRECTORY, held.adopt(tmpfsWith(services, record, usual), close));
  for (const use of files) {
    if (!usual.includes(use)) add(use.target, held.adopt(singleFile(services, record, use), close));
  }
  const kept = held.move();
  return { env, mounts, [Symbol.dispose]: () => kept.dispose() };
}

function variableOf(services: Services, secret: string, variable: string): string {
  const value = services.secrets.reveal(secret);
  try {
    if (value.includes(0)) throw invalidParameter(`secret "${secret}" cannot be a variable: it has a NUL byte`);
    return `${variable}=${value.toString()}`;
  } finally {
    value.fill(0);
  }
}

/** A file system of memory with these files, which is not swapped out where the kernel can promise that. */
function tmpfsWith(services: Services, record: ContainerRecord, uses: readonly FileUse[]): number {
  const values = uses.map((use) => services.secrets.reveal(use.secret));
  try {
    const pages = values.reduce((sum, value) => sum + Math.ceil(value.length / PAGE_BYTES) + 1, uses.length + 2);
    using made = ownedFd(memory(pages * PAGE_BYTES));
    for (const [index, use] of uses.entries()) writeSecret(made.fd, record, use, values[index] ?? Buffer.alloc(0));
    return made.release();
  } finally {
    for (const value of values) value.fill(0);
  }
}

/** `fileMode`: of what will lie in it; a file that is to be executed may be. */
export function memory(bytes: number, fileMode = 0): number {
  const options = { mode: '755', size: String(bytes) };
  const attributes = (fileMode & 0o111) === 0 ? ATTRIBUTES : ATTRIBUTES & ~MOUNT_ATTR.NOEXEC;
  try {
    return detachedTmpfs({ ...options, noswap: undefined }, attributes, 'secrets');
  } catch (error) {
    // Since Linux 6.4.
    if (!isErrno(error, 'EINVAL')) throw error;
    return detachedTmpfs(options, attributes, 'secrets');
  }
}

function writeSecret(root: number, record: ContainerRecord, use: FileUse, value: Uint8Array): void {
  const { uids, gids } = record.userns ?? { uids: undefined, gids: undefined };
  try {
    using file = ownedFd(createFileInRoot(root, path.basename(use.target), 0o600));
    writeAll(file.fd, value);
    fchown(file.fd, hostId(uids, use.uid, 'uid'), hostId(gids, use.gid, 'gid'));
    fchmod(file.fd, use.mode);
  } catch (cause) {
    throw systemError(`Cannot make secret "${use.secret}" for "${use.target}"`, { cause });
  }
}

/** For a place of its own: one file, bound. */
function singleFile(services: Services, record: ContainerRecord, use: FileUse): number {
  using memoryFd = ownedFd(tmpfsWith(services, record, [use]));
  return attachedAt(path.join(services.settings.execRoot, 'mounts'), memoryFd.fd, (root) => {
    using file = ownedFd(openat(root, path.basename(use.target), O.PATH | O.NOFOLLOW));
    return bindDetached(file.fd);
  });
}
