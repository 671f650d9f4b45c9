/**
 * The mounts of a container over its life. At create: volumes are found or made, images and other containers looked up.
 * At start: sources become host paths or detached mounts. At the end: volumes that were mounted for it are let go.
 *
 * A path inside a volume or an image is resolved once, below its root (openat2), and used as a descriptor: whoever writes
 * into the volume meanwhile cannot point it elsewhere.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { MountSpec } from '#container/mount-spec.ts';
import { inheritedMounts, parseMounts, parseVolumesFrom } from '#container/parse-mounts.ts';
import type { ContainerMount, ContainerRecord } from '#container/record.ts';
import type { MountSources } from '#container/spec/mounts.ts';
import { BerthError, invalidParameter, kindOf, messageOf, systemError } from '#errdefs/errors.ts';
import type { LayerMount } from '#graphdriver/driver.ts';
import { log } from '#pkg/log/log.ts';
import type { Rollback } from '#pkg/rollback/rollback.ts';
import { isErrno } from '#sys/errno.ts';
import { close, open, ownedFd } from '#sys/files.ts';
import { attachedAt } from '#sys/mount-table.ts';
import { bindDetached } from '#sys/mounts.ts';
import { O } from '#sys/numbers.ts';
import { openInRoot, tryOpenInRoot } from '#sys/safe-path.ts';
import type { Services } from '../services.ts';
import { publishVolumeEvent } from './event.ts';

/** What a request asks for. Errors: invalid-parameter; not a not-found, for that sends `docker run` to pull the image. */
export function wantedMounts(
  services: Services,
  host: ContainerRecord['hostConfig'],
  config: ContainerRecord['config'],
): MountSpec[] {
  const inherited = new Map<string, MountSpec>();
  for (const text of host.VolumesFrom ?? []) {
    const { container, readOnly } = parseVolumesFrom(text);
    for (const mount of inheritedMounts(otherContainer(services, container).mounts, readOnly)) {
      inherited.set(mount.destination, mount);
    }
  }
  const mounts = parseMounts(host, config, [...inherited.values()]);
  for (const mount of mounts) {
    if (mount.type !== 'bind' || mount.createSource || fs.existsSync(mount.source)) continue;
    throw invalidParameter(`invalid mount config for type "bind": bind source path does not exist: ${mount.source}`);
  }
  return mounts;
}

function otherContainer(services: Services, reference: string): ContainerRecord {
  try {
    return services.containers.resolve(reference);
  } catch (cause) {
    throw invalidParameter(messageOf(cause), { cause });
  }
}

export interface MadeMounts extends Disposable {
  readonly mounts: ContainerMount[];
}

/** Finds or makes the volumes; until this is disposed of, none of them is removed. */
export async function makeMounts(
  services: Services,
  wanted: readonly MountSpec[],
  undo: Rollback,
): Promise<MadeMounts> {
  using held = new DisposableStack();
  const mounts: ContainerMount[] = [];
  for (const mount of wanted) {
    if (mount.type === 'volume') mounts.push(await makeVolumeMount(services, mount, undo, held));
    else if (mount.type === 'image') mounts.push({ ...mount, volume: '', imageId: imageOf(services, mount.source) });
    else if (mount.type === 'artifact') mounts.push(artifactMount(services, mount));
    else mounts.push({ ...mount, volume: '', imageId: '' });
  }
  const kept = held.move();
  return { mounts, [Symbol.dispose]: () => kept.dispose() };
}

async function makeVolumeMount(
  services: Services,
  mount: MountSpec,
  undo: Rollback,
  held: DisposableStack,
): Promise<ContainerMount> {
  const { volumes } = services;
  const { source: name, driver, driverOptions: options, labels } = mount;
  if (name !== '') held.use(volumes.hold(name));
  const { volume, created } = await volumes.create({ name, driver, options, labels }).catch(notAsNotFound);
  if (created) {
    // As long as its maker holds it nobody else removes it; its own undo comes after that.
    undo.defer('remove volume', () => volumes.remove(volume.name, { force: true }));
    publishVolumeEvent(services.events, 'create', volume, {});
  }
  if (name === '') held.use(volumes.hold(volume.name));
  const source = volume.driver === 'local' ? volumes.mountpoint(volume.name) : '';
  return { ...mount, source, volume: volume.name, driver: volume.driver, imageId: '' };
}

function notAsNotFound(error: unknown): never {
  if (kindOf(error) === 'not-found') throw invalidParameter(messageOf(error), { cause: error });
  throw error;
}

/** The name may come to mean something else: its manifest is remembered, where an image mount has its image. */
function artifactMount(services: Services, mount: MountSpec): ContainerMount {
  try {
    const { digest } = services.artifacts.get(mount.source);
    services.artifacts.mountSource(digest, mount.subpath);
    return { ...mount, volume: '', imageId: digest };
  } catch (cause) {
    throw invalidParameter(`invalid mount config for type "artifact": ${messageOf(cause)}`, { cause });
  }
}

function imageOf(services: Services, reference: string): string {
  try {
    return services.images.resolve(reference).id;
  } catch (cause) {
    throw invalidParameter(`invalid mount config for type "image": ${messageOf(cause)}`, { cause });
  }
}

/** Fills new volumes from the image. `rootfs` is the container's root. */
export async function fillVolumes(
  services: Services,
  id: string,
  mounts: readonly ContainerMount[],
  rootfs: number,
  signal: AbortSignal,
): Promise<void> {
  for (const mount of mounts) {
    // A driver is not asked to mount what nothing is to be copied into.
    if (!isDirectoryIn(rootfs, mount.destination)) continue;
    await services.volumes.copyUp(mount.volume, rootfs, mount.destination, id, signal);
  }
}

function isDirectoryIn(rootfs: number, destination: string): boolean {
  const found = tryOpenInRoot(rootfs, destination, O.PATH | O.DIRECTORY);
  if (found === undefined) return false;
  close(found);
  return true;
}

export interface OpenedMounts extends Disposable {
  readonly sources: MountSources;
}

const nothing: OpenedMounts = { sources: new Map(), [Symbol.dispose]: () => undefined };

/** Makes the sources ready for a start. Dispose of it when the start is over: the container has its own by then. */
export async function openMounts(
  services: Services,
  record: ContainerRecord,
  undo: Rollback,
  usernsFd?: number,
): Promise<OpenedMounts> {
  if (record.mounts.length === 0) return nothing;
  const sources = new Map<string, { path: string; fd?: number }>();
  using held = new DisposableStack();
  for (const mount of record.mounts) {
    if (mount.type === 'bind') {
      if (mount.createSource) makeSource(mount.source);
    } else if (mount.type === 'volume') {
      const root = await services.volumes.mount(mount.volume, record.id);
      undo.defer('unmount volume', () => services.volumes.unmount(mount.volume, record.id));
      sources.set(mount.destination, { path: root });
      if (mount.subpath === '') continue;
      const fd = held.adopt(openBelow(root, mount), close);
      sources.set(mount.destination, { path: path.join(root, mount.subpath), fd });
    } else if (mount.type === 'image') {
      const layer = held.use(mountImage(services, mount, usernsFd));
      const fd = mount.subpath === '' ? layer.fd : held.adopt(openInImage(services, layer.fd, mount), close);
      sources.set(mount.destination, { path: '', fd });
    } else if (mount.type === 'artifact') {
      sources.set(mount.destination, { path: services.artifacts.mountSource(mount.imageId, mount.subpath).path });
    }
  }
  const kept = held.move();
  return { sources, [Symbol.dispose]: () => kept.dispose() };
}

function mountImage(services: Services, mount: ContainerMount, usernsFd: number | undefined): LayerMount {
  const { chainId } = services.images.resolve(mount.imageId);
  if (chainId === undefined) throw invalidParameter(`image "${mount.source}" has no layers: nothing can be mounted`);
  return services.layers.mount(chainId, usernsFd === undefined ? {} : { usernsFd });
}

/** `-v /missing:/x`: the directory is made, with its parents. */
function makeSource(source: string): void {
  if (fs.existsSync(source)) return;
  try {
    fs.mkdirSync(source, { recursive: true, mode: 0o755 });
  } catch (cause) {
    const message = `error while creating mount source path '${source}': mkdir ${source}: ${messageOf(cause)}`;
    throw systemError(message, { cause });
  }
}

/** A detached copy of what lies at the subpath, which may be a file. */
function openBelow(root: string, mount: ContainerMount): number {
  using directory = ownedFd(open(root, O.PATH | O.DIRECTORY));
  return subtree(directory.fd, mount, path.join(root, mount.subpath));
}

function subtree(root: number, mount: ContainerMount, shown: string): number {
  try {
    using found = ownedFd(openInRoot(root, mount.subpath, O.PATH));
    return bindDetached(found.fd, { recursive: true });
  } catch (cause) {
    if (!isErrno(cause)) throw cause;
    const missing = cause.code === 'ENOENT' || cause.code === 'ENOTDIR';
    const why = missing ? 'no such file or directory' : cause.message;
    throw new BerthError(missing ? 'invalid-parameter' : 'system', `cannot access path ${shown}: ${why}`, { cause });
  }
}

/** Before Linux 6.15 a detached mount cannot be copied: it is put somewhere for that moment. */
function openInImage(services: Services, image: number, mount: ContainerMount): number {
  const place = path.join(services.settings.execRoot, 'mounts');
  return attachedAt(place, image, (directory) => subtree(directory, mount, `${mount.source}:/${mount.subpath}`));
}

/** Failing to let go must not keep the container from ending: the next start of the daemon tries again. */
export async function releaseMounts(services: Services, record: ContainerRecord): Promise<void> {
  for (const mount of record.mounts) {
    if (mount.type !== 'volume') continue;
    try {
      await services.volumes.unmount(mount.volume, record.id);
    } catch (error) {
      log.error('volume not unmounted', { container: record.id, volume: mount.volume, err: error });
    }
  }
}
