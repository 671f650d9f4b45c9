/** The layer of a stopped container with its binds, volumes and images mounted as a start would. A tmpfs would be empty. */
import * as fs from 'node:fs';
import { depth } from '#container/mount-spec.ts';
import type { ContainerRecord } from '#container/record.ts';
import { MountTable } from '#libcontainer/mounts/place.ts';
import { closePlace } from '#libcontainer/mounts/prepare.ts';
import { log } from '#pkg/log/log.ts';
import { Rollback } from '#pkg/rollback/rollback.ts';
import { close, fstat, ownedFd } from '#sys/files.ts';
import { bindDetached, mountSetattr } from '#sys/mounts.ts';
import { MOUNT_ATTR, S_IF } from '#sys/numbers.ts';
import { composedTree, type PlacedMount } from '#sys/trees.ts';
import { pathsOf } from '../container/generated-paths.ts';
import { openMounts } from '../container/mounts.ts';
import { containerDirectory } from '../container/paths.ts';
import type { Services } from '../services.ts';
import type { WholeTree } from './stopped-trees.ts';

interface Wanted {
  readonly destination: string;
  /** Detached, or a path of the host. */
  readonly source: number | string;
  readonly readOnly: boolean;
  readonly recursive: boolean;
}

/** Undefined when there is nothing to mount. */
export async function composeWhole(
  services: Services,
  record: ContainerRecord,
  layer: number,
): Promise<WholeTree | undefined> {
  // Lives as long as the tree: what it undoes is the mounting of the volumes.
  const mounted = new Rollback({
    onUndoFailed: (step, err) => log.error('undo failed', { job: 'container.files', container: record.id, step, err }),
  });
  try {
    using opened = await openMounts(services, record, mounted);
    const wanted = [
      ...record.mounts.flatMap((mount): Wanted[] => {
        if (mount.type === 'tmpfs') return [];
        const found = opened.sources.get(mount.destination);
        const { destination, readOnly, nonRecursive } = mount;
        const source = found?.fd ?? found?.path ?? mount.source;
        return [{ destination, source, readOnly: readOnly || mount.type === 'image', recursive: !nonRecursive }];
      }),
      ...generated(services, record),
    ].filter(({ source }) => typeof source === 'number' || fs.existsSync(source));
    if (wanted.length === 0) {
      await mounted[Symbol.asyncDispose]();
      return undefined;
    }
    using made = new DisposableStack();
    const tree = ownedFd(composedTree(layer, placed(wanted, layer, made), services.settings.dataRoot));
    return {
      tree,
      [Symbol.asyncDispose]: async () => {
        tree[Symbol.dispose]();
        await mounted[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await mounted[Symbol.asyncDispose]();
    throw error;
  }
}

/** What the engine wrote for it at its last start. */
function generated(services: Services, record: ContainerRecord): Wanted[] {
  if (record.state.startedAt === '') return [];
  const files = pathsOf(containerDirectory(services, record.id));
  const own = new Set(record.mounts.map((mount) => mount.destination));
  return [
    { destination: '/etc/hosts', source: files.hosts },
    { destination: '/etc/hostname', source: files.hostname },
    { destination: '/etc/resolv.conf', source: files.resolvConf },
  ]
    .filter(({ destination }) => !own.has(destination))
    .map((file) => ({ ...file, readOnly: false, recursive: false }));
}

/** Each as a detached mount with the place that it has in the tree; missing mount points are made. */
function placed(wanted: readonly Wanted[], layer: number, made: DisposableStack): PlacedMount[] {
  const table = new MountTable(layer, { uid: 0, gid: 0 });
  const inOrder = wanted.toSorted((a, b) => depth(a.destination) - depth(b.destination));
  return inOrder.map(({ destination, source, readOnly, recursive }) => {
    const fd = typeof source === 'number' ? source : bindDetached(source, { recursive });
    if (typeof source !== 'number') made.defer(() => close(fd));
    if (readOnly) mountSetattr(fd, { set: MOUNT_ATTR.RDONLY });
    const isDirectory = (fstat(fd).mode & S_IF.MT) === S_IF.DIR;
    const place = table.locate(destination, isDirectory ? 'directory' : 'file');
    closePlace(place);
    table.cover(place.path, fd);
    return { fd, path: place.path };
  });
}
