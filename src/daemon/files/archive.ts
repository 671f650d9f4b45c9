/** The archive API: stat a path of a container, read it as a tar, unpack a tar into it. */
import type { ArchiveGetInput, ArchivePutInput } from '#api/jobs/container.ts';
import type { ContainerPathStat } from '#api/types/container.ts';
import { forbidden, invalidParameter } from '#errdefs/errors.ts';
import { resolveUser } from '#libcontainer/user.ts';
import { byteString } from '#pkg/archive/entry.ts';
import { outsideId } from '#pkg/archive/id-shift.ts';
import { isErrno } from '#sys/errno.ts';
import { close, fstat, fstatfs, type OwnedFd, ownedFd, readAll } from '#sys/files.ts';
import { O, S_IF } from '#sys/numbers.ts';
import { openInRoot, tryOpenInRoot } from '#sys/safe-path.ts';
import { publishContainerEvent } from '../container/event.ts';
import type { Services } from '../services.ts';
import { absolutePath, archiveName, explain, locate, pathStatOf, type PathRequest } from './path.ts';
import { type FileView, openView } from './view.ts';

const PASSWD_BYTES_MAX = 16 << 20;

/** Errors: not-found, invalid-parameter. */
export async function statPath(
  services: Services,
  input: { readonly container: string; readonly path: string },
  signal: AbortSignal,
): Promise<ContainerPathStat> {
  await using view = await openView(services, input.container, 'whole', signal);
  const request = { root: view.root, ...input };
  using located = locate(request);
  return pathStatOf(request, located);
}

/** Errors: as statPath; conflict when the container is removed meanwhile. */
export async function getArchive(services: Services, input: ArchiveGetInput, signal: AbortSignal): Promise<void> {
  await using view = await openView(services, input.container, 'whole', signal);
  const request = { root: view.root, path: input.path, container: input.container };
  using located = locate(request);
  const output = input.open(pathStatOf(request, located));
  const as = archiveName(located);
  const common = { leaveOut: leaveOutOf(view, located.directory), ids: view.ids };
  const prefix = as === '/' ? '/' : `${as}/`;
  const directory = located.directory.fd;
  const job =
    located.name === ''
      ? ({ kind: 'pack-tree', root: directory, prefix, ...common } as const)
      : ({ kind: 'pack-one', directory, name: byteString(located.name), as, ...common } as const);
  publishContainerEvent(services.events, view.record, 'archive-path');
  await services.archives.pack(job, output, { signal: view.signal });
}

/** What the engine mounts is left out below, but not where it was asked for itself. */
function leaveOutOf(view: FileView, directory: OwnedFd): bigint[] {
  const own = fstat(directory.fd).mountId;
  return view.leaveOut.filter((mount) => mount !== own);
}

/** Errors: not-found, invalid-parameter, forbidden where it is read-only; data-loss for what is no tar. */
export async function putArchive(services: Services, input: ArchivePutInput, signal: AbortSignal): Promise<void> {
  await using view = await openView(services, input.container, 'whole', signal);
  const request = { root: view.root, path: input.path, container: input.container };
  const absolute = absolutePath(input.path);
  using target = openTarget(request, absolute);
  checkWritable(view, target.fd);
  const path = absolute.replace(/\/\.?$/, '');
  await services.archives.unpack(
    {
      kind: 'unpack-into',
      root: target.fd,
      scopeRoot: view.root,
      path: byteString(path),
      refuse: input.noOverwriteDirNonDir,
      owner: input.copyUidGid ? ownerOf(view) : undefined,
      ids: view.ids,
    },
    input.archive,
    { signal: view.signal },
  );
  publishContainerEvent(services.events, view.record, 'extract-to-dir');
}

function openTarget(request: PathRequest, absolute: string): OwnedFd {
  let fd: OwnedFd;
  try {
    fd = ownedFd(openInRoot(request.root, absolute, O.PATH));
  } catch (error) {
    throw explain(request, absolute, error);
  }
  if ((fstat(fd.fd).mode & S_IF.MT) === S_IF.DIR) return fd;
  fd[Symbol.dispose]();
  throw invalidParameter('extraction point is not a directory');
}

/** The kernel knows of mounts inside of mounts; that the root is read-only is known to the record when nothing runs. */
function checkWritable(view: FileView, target: number): void {
  const inRoot = fstat(target).mountId === fstat(view.root).mountId;
  if (inRoot && view.record.hostConfig.ReadonlyRootfs) throw forbidden('container rootfs is marked read-only');
  if (!fstatfs(target).readOnly) return;
  throw forbidden(inRoot ? 'container rootfs is marked read-only' : 'mounted volume is marked read-only');
}

/** The container's own user, looked up in its own files; nobody else's when it has none. */
function ownerOf(view: FileView): { uid: number; gid: number } | undefined {
  const user = view.record.config.User;
  if (user === '') return undefined;
  const { uid, gid } = resolveUser(user, {
    passwd: textIn(view.root, '/etc/passwd'),
    group: textIn(view.root, '/etc/group'),
  });
  return { uid: outsideId(view.ids?.uids, uid), gid: outsideId(view.ids?.gids, gid) };
}

/** '' when it is not there or no file. */
function textIn(root: number, path: string): string {
  const fd = tryOpenInRoot(root, path, O.RDONLY | O.NONBLOCK);
  if (fd === undefined) return '';
  try {
    if ((fstat(fd).mode & S_IF.MT) !== S_IF.REG) return '';
    return Buffer.from(readAll(fd, PASSWD_BYTES_MAX)).toString();
  } catch (error) {
    if (isErrno(error)) return '';
    throw error;
  } finally {
    close(fd);
  }
}
