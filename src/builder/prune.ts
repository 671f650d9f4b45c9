/**
 * What the build cache holds, and its removal: results of steps that no image needs, and directories of cache mounts.
 * Least recently used first, whole subtrees from their leaves: what another result stands on goes after it.
 */
import { log } from '#pkg/log/log.ts';
import type { BuilderParts } from './session.ts';

export interface CacheEntry {
  readonly id: string;
  readonly kind: 'regular' | 'exec.cachemount' | 'source.local';
  readonly description: string;
  readonly parents: readonly string[];
  readonly inUse: boolean;
  /** An image has it too: removing it gives no room back. */
  readonly shared: boolean;
  readonly sizeBytes: number;
  readonly createdAt: string;
  readonly lastUsedAt: string;
  readonly usageCount: number;
}

export async function listCache(parts: BuilderParts): Promise<CacheEntry[]> {
  const { cache, cacheMounts, layers } = parts;
  const steps = cache.list().flatMap((step): CacheEntry[] => {
    if (layers.snapshots.get(step.snapshot) === undefined) return [];
    return [
      {
        id: step.key,
        kind: 'regular',
        description: step.description,
        parents: step.parents.filter((parent) => cache.get(parent) !== undefined),
        inUse: layers.snapshots.isHeld(step.snapshot),
        shared: layers.layerOfSnapshot(step.snapshot) !== undefined,
        sizeBytes: step.sizeBytes,
        createdAt: step.createdAt,
        lastUsedAt: step.lastUsedAt,
        usageCount: step.usageCount,
      },
    ];
  });
  const mounts: CacheEntry[] = [];
  for (const mount of cacheMounts.list()) {
    mounts.push({
      id: mount.directory,
      kind: 'exec.cachemount',
      description: `cached mount ${mount.id}`,
      parents: [],
      inUse: cacheMounts.isUsed(mount.directory),
      shared: false,
      sizeBytes: await cacheMounts.bytes(mount),
      createdAt: mount.createdAt,
      lastUsedAt: mount.lastUsedAt,
      usageCount: mount.usageCount,
    });
  }
  return [...steps, ...mounts, ...contextEntries(parts)];
}

function contextEntries({ contexts }: BuilderParts): CacheEntry[] {
  return contexts.list().map((context) => ({
    id: context.id,
    kind: 'source.local',
    description: `context of ${context.entries} files`,
    parents: [],
    inUse: contexts.isUsed(context.id),
    shared: false,
    sizeBytes: contexts.bytes(context.id),
    createdAt: context.createdAt,
    lastUsedAt: context.lastUsedAt,
    usageCount: context.usageCount,
  }));
}

export interface PruneRequest {
  /** Also what is not dangling: everything that no build uses right now. */
  readonly all: boolean;
  readonly matches: (entry: CacheEntry) => boolean;
  /** So much of the cache may stay, whatever else is said. */
  readonly reservedBytes: number | undefined;
  readonly maxUsedBytes: number | undefined;
  readonly minFreeBytes: number | undefined;
  readonly freeBytes: () => number;
  readonly signal: AbortSignal;
}

export interface Pruned {
  readonly ids: readonly string[];
  readonly bytes: number;
}

/** `listed`: what the cache holds, when it is known already. */
export async function pruneCache(
  parts: BuilderParts,
  request: PruneRequest,
  listed?: readonly CacheEntry[],
): Promise<Pruned> {
  const entries = [...(listed ?? (await listCache(parts)))].sort((a, b) => (a.lastUsedAt < b.lastUsedAt ? -1 : 1));
  // What came from elsewhere takes no room of its own: it is only forgotten.
  parts.cache.forgetStacks(request.all);
  let used = entries.reduce((sum, entry) => sum + (entry.shared ? 0 : entry.sizeBytes), 0);
  const ids: string[] = [];
  let bytes = 0;
  const enough = (): boolean => {
    const { reservedBytes, maxUsedBytes, minFreeBytes, freeBytes } = request;
    if (reservedBytes !== undefined && used <= reservedBytes) return true;
    const rules = [
      ...(maxUsedBytes === undefined ? [] : [used > maxUsedBytes]),
      ...(minFreeBytes === undefined ? [] : [freeBytes() < minFreeBytes]),
    ];
    return rules.length > 0 && !rules.some((broken) => broken);
  };
  let left = entries.filter((entry) => (request.all || !entry.shared) && request.matches(entry));
  // Leaves first, again and again: a result that others stand on goes once they are gone.
  for (let progressed = true; progressed && left.length > 0 && !enough(); ) {
    progressed = false;
    const later: CacheEntry[] = [];
    for (const entry of left) {
      if (request.signal.aborted || enough()) return { ids, bytes };
      if (!(await removeEntry(parts, entry))) {
        later.push(entry);
        continue;
      }
      progressed = true;
      ids.push(entry.id);
      if (!entry.shared) {
        bytes += entry.sizeBytes;
        used -= entry.sizeBytes;
      }
    }
    left = later;
  }
  return { ids, bytes };
}

/** False while something needs it. */
async function removeEntry(parts: BuilderParts, entry: CacheEntry): Promise<boolean> {
  const { cache, cacheMounts, contexts, layers } = parts;
  if (entry.kind === 'source.local') {
    if (contexts.isUsed(entry.id)) return false;
    contexts.remove(entry.id);
    return true;
  }
  if (entry.kind === 'exec.cachemount') {
    if (cacheMounts.isUsed(entry.id)) return false;
    await cacheMounts.remove(entry.id);
    return true;
  }
  const step = cache.get(entry.id);
  if (step === undefined) return false;
  const { snapshot } = step;
  if (layers.snapshots.isHeld(snapshot) || layers.snapshots.hasChildren(snapshot)) return false;
  // A step that changed nothing shares the snapshot of the one before.
  const others = cache.list().some((other) => other.key !== step.key && other.snapshot === snapshot);
  if (!others) {
    try {
      await layers.removeSnapshot(snapshot);
    } catch (error) {
      log.debug('a result of a build is still needed', { snapshot, err: error });
      return false;
    }
  }
  cache.forget(entry.id);
  return true;
}

/** At start-up: snapshots that no result names are of builds that were cut off. */
export async function sweepSnapshots({ cache, layers, trees }: BuilderParts): Promise<void> {
  for (const id of layers.readWriteIds()) {
    if (layers.readWriteRecord(id)?.ofBuild === true) await layers.releaseReadWrite(id);
  }
  const named = new Set(cache.list().map(({ snapshot }) => snapshot));
  for (let progressed = true; progressed; ) {
    progressed = false;
    for (const { id, retired } of layers.snapshots.list()) {
      if (retired || named.has(id) || layers.snapshots.hasChildren(id)) continue;
      await layers.removeSnapshot(id);
      progressed = true;
    }
  }
  trees.sweep();
}
