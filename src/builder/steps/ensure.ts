/**
 * A step's result: from the cache, from a cache elsewhere, from a build that makes it right now, or made.
 *
 * A step has two keys. `key` is of what it depends on, the contents of files that it copies from another stage among
 * them. `origin` is of how it came about: of that stage by its own origin, so that it can be told without the files.
 * Without stages that are copied from they are the same. Caches elsewhere have both.
 */
import { createHash } from 'node:crypto';
import { kindOf } from '#errdefs/errors.ts';
import { chainIdOf, type DiffId, EMPTY_DIFF_ID } from '#layer/chain-id.ts';
import { throwIfAborted } from '../abort.ts';
import { keyOf, type Meaning } from '../cache.ts';
import type { BuildSession } from '../session.ts';
import type { StageState } from '../state.ts';

export interface StepWork {
  /** Vertex of the progress. */
  readonly vertex: string;
  readonly description: string;
  /** State it stands on. */
  readonly parent: StageState;
  /** Not asked for when the origin is enough. */
  readonly meaning: () => Promise<Meaning>;
  /** Where files of other stages are meant; else the meaning says it. */
  readonly origin?: Meaning | undefined;
  /** Files that the meaning needs are not here. */
  readonly isAway?: () => boolean;
  /** Where in which Dockerfile: to say why it was not cached. */
  readonly place: string;
  readonly useCache: boolean;
  /** Nothing is made: only what caches elsewhere have is looked up. */
  readonly dry: boolean;
  /** Makes the new snapshot, or answers the parent's when nothing changes. */
  readonly make: (signal: AbortSignal, output: (stream: 1 | 2, bytes: Uint8Array) => void) => Promise<string>;
}

export interface StepResult {
  readonly key: string;
  readonly origin: string;
  /** The stack after it, where it is one of layers; else there is a snapshot. */
  readonly stack: readonly DiffId[] | undefined;
  readonly snapshot: string;
  readonly cached: boolean;
  readonly createdAt: string;
  /** The cache elsewhere that had it. */
  readonly from?: string | undefined;
}

export async function ensureStep(session: BuildSession, work: StepWork): Promise<StepResult> {
  const { cache, layers, held, signal, chains } = session;
  throwIfAborted(signal);
  if (work.dry) return dryResult(work);
  const looked = await lookUp(session, work);
  if ('result' in looked) return looked.result;
  const { key, origin, meaning } = looked;
  tellWhy(session, work, meaning);
  await chains.need(work.parent.on);
  // A build without cache neither takes nor gives a result that is being made.
  const flight = work.useCache ? key : `${key} ${crypto.randomUUID()}`;
  const snapshot = await made(session, work, flight);
  held.use(layers.snapshots.hold(snapshot));
  cache.notePlace(work.place, meaning);
  const createdAt = cache.get(key)?.createdAt ?? session.now().toISOString();
  return { key, origin, stack: undefined, snapshot, cached: false, createdAt };
}

/** By this build or by another that makes the same; when the other one is cancelled in the middle of it, by this one. */
async function made(session: BuildSession, work: StepWork, key: string): Promise<string> {
  const { cache, layers, control, signal } = session;
  for (;;) {
    let own = false;
    try {
      return await session.flights.join({
        key,
        signal,
        output: (stream, bytes) => control.progress.log(work.vertex, stream, bytes),
        work: async (flightSignal, output) => {
          own = true;
          using _slot = await session.slots.acquire(flightSignal);
          using _parent =
            work.parent.on.snapshot === undefined ? undefined : layers.snapshots.hold(work.parent.on.snapshot);
          const snapshot = await work.make(flightSignal, output);
          const sizeBytes = await layers.snapshotSize(snapshot);
          const { description, parent } = work;
          cache.record({ key, snapshot, description, parents: [parent.key], sizeBytes });
          return snapshot;
        },
      });
    } catch (error) {
      const anothers = !own && !signal.aborted && kindOf(error) === 'cancelled';
      if (!anothers) throw error;
    }
  }
}

/** The keys alone. The state that follows has no files. */
async function dryResult({ origin: given, meaning, parent }: StepWork): Promise<StepResult> {
  const origin = keyOf({ ...(given ?? (await meaning())), below: parent.origin });
  return { key: origin, origin, stack: parent.below, snapshot: '', cached: false, createdAt: '' };
}

type LookedUp =
  | { readonly result: StepResult }
  | { readonly key: string; readonly origin: string; readonly meaning: Meaning };

/** What needs no work: also what it means when nothing is found. */
export async function lookUp(session: BuildSession, work: StepWork): Promise<LookedUp> {
  const { cache, layers, held } = session;
  const { parent, useCache } = work;
  const byOrigin = work.origin === undefined ? undefined : keyOf({ ...work.origin, below: parent.origin });
  if (byOrigin !== undefined && useCache && work.isAway?.() === true) {
    const result = importedResult(session, work, [byOrigin], byOrigin);
    if (result !== undefined) return { result };
  }
  const meant = await work.meaning();
  const meaning = { ...meant, below: parent.key };
  const key = keyOf(meaning);
  const origin = byOrigin ?? keyOf({ ...meant, below: parent.origin });
  if (!useCache) return { key, origin, meaning };
  const found = cache.find(key);
  if (found !== undefined) {
    held.use(layers.snapshots.hold(found.snapshot));
    cache.notePlace(work.place, meaning);
    const { snapshot, createdAt } = found;
    return { result: { key, origin, stack: undefined, snapshot, cached: true, createdAt } };
  }
  const result = importedResult(session, work, [origin, key], key) ?? knownStack(session, work, key, origin);
  if (result === undefined) return { key, origin, meaning };
  cache.notePlace(work.place, meaning);
  return { result: { ...result, origin } };
}

function importedResult(
  session: BuildSession,
  work: StepWork,
  keys: readonly string[],
  key: string,
): StepResult | undefined {
  const { imported, chains } = session;
  if (imported.isEmpty) return undefined;
  const [origin = ''] = keys;
  const below = stackOf(session, work.parent);
  if (below === undefined) return undefined;
  for (const candidate of new Set(keys)) {
    const found = imported.find(exportedDigest(session, candidate), below);
    const chainId = found === undefined ? undefined : chainIdOf(found.diffIds);
    if (found === undefined || chainId === undefined) continue;
    chains.promise(chainId, found.bring);
    const createdAt = found.createdAt ?? session.now().toISOString();
    return { key, origin, stack: found.diffIds, snapshot: '', cached: true, createdAt, from: found.source };
  }
  return undefined;
}

/** What an earlier build had of a cache elsewhere, as long as an image has the layers. */
function knownStack(session: BuildSession, work: StepWork, key: string, origin: string): StepResult | undefined {
  const known = session.cache.findStack(exportedDigest(session, key));
  const below = known === undefined ? undefined : stackOf(session, work.parent);
  if (known === undefined || below === undefined) return undefined;
  const { diffIds, createdAt } = known;
  if (!below.every((diffId, index) => diffIds[index] === diffId) || diffIds.length > below.length + 1) return undefined;
  const chainId = chainIdOf(diffIds);
  if (chainId !== undefined) session.chains.promise(chainId, async () => undefined);
  return { key, origin, stack: diffIds, snapshot: '', cached: true, createdAt };
}

/** The layers of a state, as far as their digests are known. */
export function stackOf(session: BuildSession, state: StageState): readonly DiffId[] | undefined {
  if (state.layers.length === 0) return state.below;
  // The image's layers are made with other times then.
  if (session.request.sourceDateEpoch !== undefined) return undefined;
  const stack = [...state.below];
  for (const { key } of state.layers) {
    const diffId = session.cache.get(key)?.diffId;
    if (diffId === undefined) return undefined;
    if (diffId !== EMPTY_DIFF_ID) stack.push(diffId);
  }
  return stack;
}

/** A key as caches elsewhere have it. With SOURCE_DATE_EPOCH a step makes other layers. */
export function exportedDigest({ request }: Pick<BuildSession, 'request'>, key: string): string {
  const { sourceDateEpoch } = request;
  const named =
    sourceDateEpoch === undefined && /^[0-9a-f]{64}$/.test(key)
      ? key
      : createHash('sha256')
          .update(`${key} ${sourceDateEpoch ?? ''}`)
          .digest('hex');
  return `sha256:${named}`;
}

function tellWhy({ cache, control, imported }: BuildSession, work: StepWork, meaning: Meaning): void {
  if (!work.useCache) {
    control.progress.why(work.vertex, ['the cache is not used: --no-cache']);
    return;
  }
  const differs = cache.whyNot(work.place, meaning);
  const reasons =
    differs === undefined
      ? ['nothing was built in its place before']
      : differs.length === 0
        ? ['its result was removed from the cache']
        : differs;
  control.progress.why(work.vertex, imported.isEmpty ? reasons : [...reasons, 'imports']);
}
