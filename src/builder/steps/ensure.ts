/** A step's result: from the cache, from a build that makes it right now, or made. */
import type { Standing } from '#layer/snapshots.ts';
import { keyOf, type Meaning } from '../cache.ts';
import { type BuildSession, throwIfAborted } from '../session.ts';

export interface StepWork {
  /** Vertex of the progress. */
  readonly vertex: string;
  readonly description: string;
  /** State it stands on. */
  readonly parent: { readonly on: Standing; readonly key: string };
  readonly meaning: Meaning;
  /** Where in which Dockerfile: to say why it was not cached. */
  readonly place: string;
  readonly useCache: boolean;
  /** Makes the new snapshot, or answers the parent's when nothing changes. */
  readonly make: (signal: AbortSignal, output: (stream: 1 | 2, bytes: Uint8Array) => void) => Promise<string>;
}

export interface StepResult {
  readonly key: string;
  readonly snapshot: string;
  readonly cached: boolean;
  readonly createdAt: string;
}

export async function ensureStep(session: BuildSession, work: StepWork): Promise<StepResult> {
  const { cache, layers, held, control, signal } = session;
  throwIfAborted(signal);
  const meaning = { ...work.meaning, below: work.parent.key };
  const key = keyOf(meaning);
  const found = work.useCache ? cache.find(key) : undefined;
  if (found !== undefined) {
    held.use(layers.snapshots.hold(found.snapshot));
    cache.notePlace(work.place, meaning);
    return { key, snapshot: found.snapshot, cached: true, createdAt: found.createdAt };
  }
  tellWhy(session, work, meaning);
  // A build without cache neither takes nor gives a result that is being made.
  const flight = work.useCache ? key : `${key} ${crypto.randomUUID()}`;
  const snapshot = await session.flights.join({
    key: flight,
    signal,
    output: (stream, bytes) => control.progress.log(work.vertex, stream, bytes),
    work: async (flightSignal, output) => {
      using _slot = await session.slots.acquire(flightSignal);
      using _parent =
        work.parent.on.snapshot === undefined ? undefined : layers.snapshots.hold(work.parent.on.snapshot);
      const made = await work.make(flightSignal, output);
      const sizeBytes = await layers.snapshotSize(made);
      cache.record({ key, snapshot: made, description: work.description, parents: [work.parent.key], sizeBytes });
      return made;
    },
  });
  held.use(layers.snapshots.hold(snapshot));
  cache.notePlace(work.place, meaning);
  return { key, snapshot, cached: false, createdAt: cache.get(key)?.createdAt ?? session.now().toISOString() };
}

function tellWhy({ cache, control }: BuildSession, work: StepWork, meaning: Meaning): void {
  if (!work.useCache) {
    control.progress.why(work.vertex, ['the cache is not used: --no-cache']);
    return;
  }
  const differs = cache.whyNot(work.place, meaning);
  if (differs === undefined) control.progress.why(work.vertex, ['nothing was built in its place before']);
  else control.progress.why(work.vertex, differs.length === 0 ? ['its result was removed from the cache'] : differs);
}
