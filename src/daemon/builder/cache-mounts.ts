/** Cache mounts out and in as tars, so that a machine that has never built begins with what another has gathered. */
import type { CacheMountSummary } from '#api/types/build.ts';
import type { OutputStream } from '#api/jobs/streams.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import type { Services } from '../services.ts';
import { unpackInto } from '../volume/transfer.ts';

const ID_MAX = 4096;

/** Directories of steps that wanted one of their own (`sharing=private`) are not among them. */
export async function listCacheMounts({ builder }: Services): Promise<CacheMountSummary[]> {
  const { cacheMounts } = builder.parts;
  const found: CacheMountSummary[] = [];
  for (const mount of cacheMounts.list()) {
    const { id, directory, createdAt, lastUsedAt, usageCount } = mount;
    if (!cacheMounts.isShared(id, directory)) continue;
    found.push({
      ID: id,
      Size: await cacheMounts.bytes(mount),
      InUse: cacheMounts.isUsed(directory),
      CreatedAt: createdAt,
      LastUsedAt: lastUsedAt,
      UsageCount: usageCount,
    });
  }
  return found.sort((a, b) => (a.ID < b.ID ? -1 : 1));
}

/** Errors: not-found. */
export async function exportCacheMount(
  { builder, archives }: Services,
  { id, output }: { readonly id: string; readonly output: OutputStream },
  signal: AbortSignal,
): Promise<void> {
  using held = builder.parts.cacheMounts.hold(id);
  using root = ownedFd(open(held.path, O.RDONLY | O.DIRECTORY | O.NOFOLLOW));
  await archives.pack({ kind: 'pack-tree', root: root.fd, prefix: './', leaveOut: [] }, output, { signal });
}

/** Instead of what it held. Errors: conflict while a step uses it; data-loss for what is no tar. */
export async function importCacheMount(
  { builder, archives }: Services,
  { id, archive }: { readonly id: string; readonly archive: AsyncIterable<Uint8Array> },
  signal: AbortSignal,
): Promise<void> {
  if (id === '' || id.length > ID_MAX) throw invalidParameter('a cache mount has an id');
  await builder.parts.cacheMounts.replace(id, (directory) => unpackInto({ archives }, directory, archive, signal));
}
