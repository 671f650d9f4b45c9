/**
 * Keeps the daemon small under load. The runtime measures its JavaScript heap only, and while requests keep coming what
 * was freed is given back late: 1,200 runs by 4 clients brought the daemon to 145 MB, with this to 120. It looks after
 * jobs, not by a timer: an idle daemon stays asleep.
 */

/** Jobs between two looks at our size; one `docker run` is four or five. */
export const LOOK_EVERY = 32;
export const GROWTH_BYTES = 4 << 20;
/** A collection takes some 20 ms, so it may not come more often, however fast we grow: 5 % of the time. */
export const COLLECTIONS_APART_MS = 400;

interface CollectorOptions {
  readonly rss?: () => number;
  readonly now?: () => number;
  readonly collect?: () => void;
}

/** Call the result whenever a job has ended. */
export function collector(options: CollectorOptions = {}): () => void {
  const rss = options.rss ?? (() => process.memoryUsage.rss());
  const now = options.now ?? (() => performance.now());
  // After the answer of the job that ended. Bun.gc(false) leaves what it frees in the allocator: measured without effect.
  const collect = options.collect ?? (() => void setImmediate(() => Bun.gc(true)));
  let jobs = 0;
  let collectedAt = Number.NEGATIVE_INFINITY;
  /** The smallest size since the last collection: memory goes back to the kernel a while after it. */
  let least = Number.POSITIVE_INFINITY;
  return () => {
    if (++jobs % LOOK_EVERY !== 0) return;
    const bytes = rss();
    least = Math.min(least, bytes);
    if (bytes < least + GROWTH_BYTES || now() - collectedAt < COLLECTIONS_APART_MS) return;
    collectedAt = now();
    least = Number.POSITIVE_INFINITY;
    collect();
  };
}
