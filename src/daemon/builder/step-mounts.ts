/**
 * Mounts of one RUN, made ready as descriptors. Where they come from is resolved by the kernel inside the stage, context
 * or cache that they name, so that no link in one of those leads to the host (CVE-2024-23651, CVE-2024-9407).
 */
import * as path from 'node:path';
import { randomBytes } from 'node:crypto';
import type { StepMount } from '#builder/backend.ts';
import { invalidParameter, notFound } from '#errdefs/errors.ts';
import type { Mount } from '#libcontainer/spec.ts';
import { close, fchmod, fchown, openat, ownedFd, writeAll } from '#sys/files.ts';
import { isErrno } from '#sys/errno.ts';
import { attachedAt } from '#sys/mount-table.ts';
import { bindDetached } from '#sys/mounts.ts';
import { O } from '#sys/numbers.ts';
import { createFileInRoot, openInRoot } from '#sys/safe-path.ts';
import { memory } from '../secret/use.ts';
import type { Services } from '../services.ts';

const PAGE_BYTES = 4096;
const SECRET_NAME = 'value';

/** Descriptors and temporary layers are `stack`'s. Errors: not-found, invalid-parameter. */
export async function openStepMounts(
  services: Services,
  mounts: readonly StepMount[],
  stack: AsyncDisposableStack,
): Promise<Mount[]> {
  const opened: Mount[] = [];
  for (const mount of mounts) opened.push(await openMount(services, mount, stack));
  return opened;
}

async function openMount(services: Services, mount: StepMount, stack: AsyncDisposableStack): Promise<Mount> {
  const destination = mount.target;
  const bind = (sourceFd: number, ...options: readonly string[]): Mount => {
    stack.adopt(sourceFd, close);
    return { destination, type: 'bind', source: 'build', sourceFd, options: ['rbind', ...options, 'rprivate'] };
  };
  switch (mount.kind) {
    case 'tmpfs': {
      const size = mount.sizeBytes === undefined ? [] : [`size=${mount.sizeBytes}`];
      return { destination, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'noexec', ...size] };
    }
    case 'host':
      return { destination, type: 'bind', source: mount.source, options: ['rbind', 'ro', 'rro', 'rprivate'] };
    case 'socket':
      return bind(bindDetached(mount.path), 'rw', 'nosuid', 'nodev', 'noexec');
    case 'secret':
      return bind(secretFile(services, mount), 'ro', 'nosuid', 'nodev', ...(mount.mode & 0o111 ? [] : ['noexec']));
    case 'directory':
      return bind(subtree(mount.root, mount.source), mount.readOnly ? 'ro' : 'rw');
    case 'snapshot':
      return bind(await ofSnapshot(services, mount, stack), mount.writable ? 'rw' : 'ro');
    default:
      return mount satisfies never;
  }
}

async function ofSnapshot(
  services: Services,
  { on, source, writable }: Extract<StepMount, { kind: 'snapshot' }>,
  stack: AsyncDisposableStack,
): Promise<number> {
  const { layers } = services;
  let root: number;
  if (writable) {
    // What is written there is for this command only.
    const id = randomBytes(32).toString('hex');
    const layer = await layers.createReadWrite(id, on.base, { snapshot: on.snapshot, ofBuild: true });
    stack.defer(() => layers.releaseReadWrite(id));
    root = stack.use(layer.mount()).fd;
  } else if (on.snapshot !== undefined) root = stack.use(layers.mountSnapshot(on.snapshot)).fd;
  else if (on.base !== undefined) root = stack.use(layers.mount(on.base)).fd;
  else throw invalidParameter('nothing can be mounted of scratch');
  // A detached mount cannot be copied before Linux 6.15: it is put somewhere for that moment.
  return attachedAt(mountsDirectory(services), root, (directory) => subtree(directory, source));
}

const mountsDirectory = (services: Services): string => path.join(services.settings.execRoot, 'mounts');

function subtree(root: number, source: string): number {
  try {
    using found = ownedFd(openInRoot(root, source, O.PATH));
    return bindDetached(found.fd, { recursive: true });
  } catch (cause) {
    if (isErrno(cause, 'ENOENT', 'ENOTDIR')) throw notFound(`${JSON.stringify(source)}: not found`, { cause });
    throw cause;
  }
}

/** One file in memory that only the container has. */
function secretFile(services: Services, mount: Extract<StepMount, { kind: 'secret' }>): number {
  const pages = Math.ceil(mount.value.length / PAGE_BYTES) + 3;
  using memoryFd = ownedFd(memory(pages * PAGE_BYTES, mount.mode));
  {
    using file = ownedFd(createFileInRoot(memoryFd.fd, SECRET_NAME, 0o600));
    writeAll(file.fd, mount.value);
    fchown(file.fd, mount.uid, mount.gid);
    fchmod(file.fd, mount.mode);
  }
  return attachedAt(mountsDirectory(services), memoryFd.fd, (root) => {
    using file = ownedFd(openat(root, SECRET_NAME, O.PATH | O.NOFOLLOW));
    return bindDetached(file.fd);
  });
}
