/**
 * Beyond Docker: a volume's contents out and in as a tar, under another name, and as a copy. A volume that containers
 * write into meanwhile is taken as it is found; pause them for a state of one moment.
 */
import { randomBytes } from 'node:crypto';
import type { OutputStream } from '#api/jobs/streams.ts';
import type { Volume } from '#api/types/volume.ts';
import { dataLoss, invalidParameter } from '#errdefs/errors.ts';
import { open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { LOCAL_DRIVER, type VolumeRecord } from '#volume/records.ts';
import { publishVolumeEvent } from '../container/event.ts';
import type { Services } from '../services.ts';

/** Runs `work` with the place of the contents; the volume is neither removed nor unmounted meanwhile. */
async function withContents<T>(
  services: Services,
  name: string,
  work: (mountpoint: string, volume: VolumeRecord) => Promise<T>,
): Promise<T> {
  const { volumes } = services;
  const volume = volumes.get(name);
  using held = volumes.hold(name);
  void held;
  // As a container would be named, but none has it: a crash is repaired like that of one.
  const id = randomBytes(32).toString('hex');
  const mountpoint = await volumes.mount(name, id);
  try {
    return await work(mountpoint, volume);
  } finally {
    await volumes.unmount(name, id);
  }
}

export async function exportVolume(
  services: Services,
  input: { readonly volume: string; readonly output: OutputStream },
  signal: AbortSignal,
): Promise<void> {
  await withContents(services, input.volume, async (mountpoint) => {
    using root = ownedFd(open(mountpoint, O.RDONLY | O.DIRECTORY | O.NOFOLLOW));
    const job = { kind: 'pack-tree', root: root.fd, prefix: './', leaveOut: [] } as const;
    await services.archives.pack(job, input.output, { signal });
  });
}

/** Makes the volume when it is not there, whole or not at all; else adds to what is in it, as unpacking does. */
export async function importVolume(
  services: Services,
  input: { readonly volume: string; readonly archive: AsyncIterable<Uint8Array> },
  signal: AbortSignal,
): Promise<Volume> {
  const { volume: name, archive } = input;
  const { volumes } = services;
  if (volumes.find(name) !== undefined) {
    await withContents(services, name, (mountpoint) => unpackInto(services, mountpoint, archive, signal));
    return volumes.toWire(volumes.get(name));
  }
  const made = await volumes.createFilled({ name }, async (mountpoint) => {
    await unpackInto(services, mountpoint, archive, signal);
  });
  publishVolumeEvent(services.events, 'create', made, {});
  return volumes.toWire(made);
}

/** Links of the archive and of the directory count inside it; its own mode and owner come with it. Errors: data-loss. */
export async function unpackInto(
  services: Pick<Services, 'archives'>,
  mountpoint: string,
  archive: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  using root = ownedFd(open(mountpoint, O.PATH | O.DIRECTORY | O.NOFOLLOW));
  const job = {
    kind: 'unpack-into',
    root: root.fd,
    scopeRoot: root.fd,
    path: '',
    refuse: false,
    rootToo: true,
  } as const;
  let bytes = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of archive) {
      bytes += chunk.length;
      yield chunk;
    }
    // Not even an empty archive: whoever should have sent it has failed.
    if (bytes === 0) throw dataLoss('the archive is empty');
  };
  await services.archives.unpack(job, counted(), { signal });
}

export async function renameVolume(services: Services, name: string, to: string): Promise<void> {
  const volume = await services.volumes.rename(name, to);
  publishVolumeEvent(services.events, 'rename', volume, { oldName: name });
}

/** File data is shared where the file system can (FICLONE). */
export async function cloneVolume(
  services: Services,
  input: { readonly volume: string; readonly name: string },
  signal: AbortSignal,
): Promise<Volume> {
  const { volumes, archive } = services;
  const { name } = input;
  if (name === input.volume) throw invalidParameter(`clone ${name}: the new name is the old one`);
  const made = await withContents(services, input.volume, (mountpoint, volume) => {
    // What options mount elsewhere becomes a plain volume with that content.
    const plain = volume.driver === LOCAL_DRIVER && !volumes.needsMount(volume);
    const request = { name, labels: volume.labels, options: plain ? volume.options : {} };
    return volumes.createFilled(request, (target) => archive.copy(mountpoint, target, { signal }));
  });
  publishVolumeEvent(services.events, 'create', made, { clonedFrom: input.volume });
  return volumes.toWire(made);
}
