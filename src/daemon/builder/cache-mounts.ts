/** Cache mounts out and in as tars, so that a machine that has never built begins with what another has gathered. */
import type { CacheMountSummary } from '#api/types/build.ts';
import type { OutputStream } from '#api/jobs/streams.ts';
import { treeBytes } from '#builder/tree-bytes.ts';
import { dataLoss, invalidParameter } from '#errdefs/errors.ts';
import { open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import type { Services } from '../services.ts';

const ID_MAX = 4096;

/** Directories of steps that wanted one of their own (`sharing=private`) are not among them. */
export async function listCacheMounts({ builder }: Services): Promise<CacheMountSummary[]> {
  const { cacheMounts } = builder.parts;
  const found: CacheMountSummary[] = [];
  for (const { id, directory, createdAt, lastUsedAt, usageCount } of cacheMounts.list()) {
    if (!cacheMounts.isShared(id, directory)) continue;
    found.push({
      ID: id,
      Size: await treeBytes(cacheMounts.path(directory)),
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
  let bytes = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of archive) {
      bytes += chunk.length;
      yield chunk;
    }
    // Not even an empty archive: whoever should have sent it has failed.
    if (bytes === 0) throw dataLoss('the archive is empty');
  };
  await builder.parts.cacheMounts.replace(id, async (directory) => {
    using root = ownedFd(open(directory, O.PATH | O.DIRECTORY | O.NOFOLLOW));
    const place = { root: root.fd, scopeRoot: root.fd, path: '', refuse: false, rootToo: true };
    await archives.unpack({ kind: 'unpack-into', ...place }, counted(), { signal });
  });
}
