/**
 * Which images have to go so that the disk stays in bounds: a plan, made from what is known, that can be shown before it
 * is done. Pure. The image that was not used for the longest time goes first; what a container has, what is locked, what
 * others are made of and the newest of each repository stay, whatever the limits say.
 */
export interface BudgetImage {
  readonly id: string;
  /** Familiar names; by them an image counts in a repository. */
  readonly tags: readonly string[];
  /** Milliseconds since the epoch: last use, or else when it came. */
  readonly usedMs: number;
  /** When it came, for keep-last. */
  readonly arrivedMs: number;
  /** Its layers, by chain id; also those of its other platforms. */
  readonly layers: readonly string[];
  /** Why it cannot go; undefined when it can. */
  readonly kept: 'container' | 'locked' | 'parent' | undefined;
}

export interface BudgetLimits {
  readonly sizeBytesMax: number | undefined;
  readonly freeBytesMin: number | undefined;
  readonly ageMsMax: number | undefined;
  readonly keepLast: number;
}

export interface BudgetState {
  readonly images: readonly BudgetImage[];
  /** Bytes of files and of the kept tar, by chain id. */
  readonly layerSizes: ReadonlyMap<string, number>;
  readonly freeBytes: number;
  readonly nowMs: number;
}

export type EvictionReason = 'age' | 'size' | 'free space';

export interface Eviction {
  readonly id: string;
  readonly reason: EvictionReason;
  /** Bytes that no other image that stays needs. */
  readonly bytes: number;
}

export interface BudgetPlan {
  readonly evictions: readonly Eviction[];
  readonly sizeBytes: number;
  /** After the plan. */
  readonly sizeBytesAfter: number;
  /** Limits that it cannot meet, because the rest has to stay. */
  readonly unmet: readonly EvictionReason[];
}

export function planBudget(state: BudgetState, limits: BudgetLimits): BudgetPlan {
  const users = new Map<string, number>();
  for (const { layers } of state.images) {
    for (const layer of new Set(layers)) users.set(layer, (users.get(layer) ?? 0) + 1);
  }
  const sizeOf = (layer: string): number => state.layerSizes.get(layer) ?? 0;
  const sizeBytes = [...users.keys()].reduce((sum, layer) => sum + sizeOf(layer), 0);
  const newest = newestOf(state.images, limits.keepLast);
  const candidates = state.images
    .filter(({ id, kept }) => kept === undefined && !newest.has(id))
    .sort((a, b) => a.usedMs - b.usedMs || a.arrivedMs - b.arrivedMs || (a.id < b.id ? -1 : 1));
  let size = sizeBytes;
  let free = state.freeBytes;
  const wants = (): EvictionReason | undefined => {
    if (limits.sizeBytesMax !== undefined && size > limits.sizeBytesMax) return 'size';
    return limits.freeBytesMin !== undefined && free < limits.freeBytesMin ? 'free space' : undefined;
  };
  const evictions: Eviction[] = [];
  for (const image of candidates) {
    const isOld = limits.ageMsMax !== undefined && state.nowMs - image.usedMs > limits.ageMsMax;
    const reason = isOld ? 'age' : wants();
    if (reason === undefined) continue;
    let bytes = 0;
    for (const layer of new Set(image.layers)) {
      const left = (users.get(layer) ?? 1) - 1;
      users.set(layer, left);
      if (left === 0) bytes += sizeOf(layer);
    }
    size -= bytes;
    free += bytes;
    evictions.push({ id: image.id, reason, bytes });
  }
  const left = wants();
  return { evictions, sizeBytes, sizeBytesAfter: size, unmet: left === undefined ? [] : [left] };
}

/** The images that have one of the newest tags of a repository. */
function newestOf(images: readonly BudgetImage[], count: number): ReadonlySet<string> {
  const repositories = new Map<string, BudgetImage[]>();
  for (const image of images) {
    for (const repository of new Set(image.tags.map((tag) => tag.slice(0, tag.lastIndexOf(':'))))) {
      repositories.set(repository, [...(repositories.get(repository) ?? []), image]);
    }
  }
  const newest = new Set<string>();
  for (const members of repositories.values()) {
    for (const { id } of members.sort((a, b) => b.arrivedMs - a.arrivedMs).slice(0, count)) newest.add(id);
  }
  return newest;
}
