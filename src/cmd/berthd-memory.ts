/**
 * Keeps the daemon small. Under load the runtime measures its JavaScript heap only, and while requests keep coming what
 * was freed is given back late; and what start-up or a collection touched of the runtime's own text stays mapped. It looks
 * after jobs, and once more when some seconds have passed without one; an idle daemon stays asleep.
 *
 * 300 `run --rm` by 4 clients brought the built daemon to 113 MB; with a reluctant JIT (pkg/jit) and its text dropped at
 * each collection to 91.
 */
import { trimMalloc } from '#sys/libraries.ts';
import { dropText } from '#sys/own-text.ts';

/** Jobs between two looks at our size; one `docker run` is four or five. */
export const LOOK_EVERY = 32;
export const GROWTH_BYTES = 4 << 20;
/** A collection takes some 20 ms, so it may not come more often, however fast we grow: 5 % of the time. */
export const COLLECTIONS_APART_MS = 400;
/** Before we have grown so much it comes so rarely that of a hundred short requests not one has to wait for it. */
export const MUCH_GROWTH_BYTES = 8 << 20;
export const RARELY = 150;
/** Without a job for so long, what the last ones have left is given back. */
export const REST_MS = 3_000;
/** With more than this in REST_MS it does not rest: a job that takes long, such as a load, ends late. */
export const WORK_MS = 150;

interface CollectorOptions {
  readonly rss?: () => number;
  readonly now?: () => number;
  readonly collect?: () => void;
  /** Calls `work` once, later, without keeping the process alive. */
  readonly later?: (work: () => void, ms: number) => void;
  /** Processor time of this process so far. */
  readonly workedMs?: () => number;
}

function collectAll(): void {
  Bun.gc(true); // Bun.gc(false) leaves what it frees in the allocator: measured without effect.
  trimMalloc();
  dropText();
}

function ownWork(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Call the result whenever a job has ended. */
export function collector(options: CollectorOptions = {}): () => void {
  const rss = options.rss ?? (() => process.memoryUsage.rss());
  const now = options.now ?? (() => performance.now());
  const collect = options.collect ?? collectAll;
  const later = options.later ?? ((work, ms) => void setTimeout(work, ms).unref());
  const workedMs = options.workedMs ?? ownWork;
  let jobs = 0;
  let collectedAt = Number.NEGATIVE_INFINITY;
  /** What the last one took. */
  let tookMs = 0;
  /** The smallest size since the last collection: memory goes back to the kernel a while after it. */
  let least = Number.POSITIVE_INFINITY;
  let resting = true;
  const restUnlessBusy = (jobsBefore: number, workedBefore: number) => {
    if (jobs !== jobsBefore || workedMs() - workedBefore > WORK_MS) return whenQuiet();
    resting = true;
    least = Number.POSITIVE_INFINITY;
    collect();
  };
  const whenQuiet = () => {
    const jobsNow = jobs;
    const workedNow = workedMs();
    later(() => restUnlessBusy(jobsNow, workedNow), REST_MS);
  };
  return () => {
    jobs += 1;
    if (resting) {
      resting = false;
      whenQuiet();
    }
    if (jobs % LOOK_EVERY !== 0) return;
    const bytes = rss();
    least = Math.min(least, bytes);
    if (bytes < least + GROWTH_BYTES) return;
    const rarely = bytes < least + MUCH_GROWTH_BYTES ? RARELY * tookMs : 0;
    if (now() - collectedAt < Math.max(COLLECTIONS_APART_MS, rarely)) return;
    collectedAt = now();
    least = Number.POSITIVE_INFINITY;
    // After the answer of the job that ended.
    later(() => {
      const began = now();
      collect();
      tookMs = now() - began;
    }, 0);
  };
}
