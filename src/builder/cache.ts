/**
 * Results of steps by what they mean. A key is the digest of everything that a step's result depends on: the state below,
 * the command with its whole configuration, contents of files. So a crafted image or context cannot pass for another
 * (CVE-2024-24557), and a result is found again by any build, also after the daemon was killed.
 */
import { createHash } from 'node:crypto';
import type { GraphDb } from '#graphdb/graphdb.ts';
import type { LayerStore } from '#layer/layer-store.ts';
import { chainIdOf, type DiffId } from '#layer/chain-id.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';

const STEP_KIND = 'build-step';
const PLACE_KIND = 'build-place';
const STACK_KIND = 'build-stack';

/** A step's result that came from elsewhere, as layers. */
export interface KnownStack {
  readonly diffIds: readonly DiffId[];
  /** ISO 8601. */
  readonly createdAt: string;
}

/** What a step's result depends on, by name. */
export type Meaning = Readonly<Record<string, unknown>>;

export interface CachedStep {
  readonly key: string;
  /** The state of the file system after it. */
  readonly snapshot: string;
  readonly description: string;
  /** Keys of the steps that it stands on. */
  readonly parents: readonly string[];
  /** ISO 8601. */
  readonly createdAt: string;
  readonly lastUsedAt: string;
  readonly usageCount: number;
  readonly sizeBytes: number;
  /** Of its tar, once one was made. */
  readonly diffId: DiffId | undefined;
}

export function keyOf(meaning: Meaning): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(meaning)))
    .digest('hex');
}

function sorted(meaning: Meaning): unknown {
  return Object.entries(meaning).sort(([a], [b]) => (a < b ? -1 : 1));
}

export class StepCache {
  readonly #db: GraphDb;
  readonly #layers: LayerStore;
  readonly #now: () => Date;

  constructor(options: { readonly db: GraphDb; readonly layers: LayerStore; readonly now: () => Date }) {
    this.#db = options.db;
    this.#layers = options.layers;
    this.#now = options.now;
  }

  /** With its snapshot there; counts as a use. */
  find(key: string): CachedStep | undefined {
    const step = this.get(key);
    if (step === undefined) return undefined;
    if (this.#layers.snapshots.get(step.snapshot) === undefined) {
      this.#db.delete(STEP_KIND, key);
      return undefined;
    }
    const used = { ...step, lastUsedAt: this.#now().toISOString(), usageCount: step.usageCount + 1 };
    this.#db.put(STEP_KIND, key, used);
    return used;
  }

  get(key: string): CachedStep | undefined {
    return decode(key, this.#db.get(STEP_KIND, key));
  }

  list(): CachedStep[] {
    return this.#db.list(STEP_KIND).flatMap(({ id, document }) => decode(id, document) ?? []);
  }

  record(step: Pick<CachedStep, 'key' | 'snapshot' | 'description' | 'parents' | 'sizeBytes'>): CachedStep {
    const now = this.#now().toISOString();
    const whole = { ...step, createdAt: now, lastUsedAt: now, usageCount: 1, diffId: undefined };
    this.#db.put(STEP_KIND, step.key, whole);
    failpoint('build.step-recorded');
    return whole;
  }

  setDiffId(key: string, diffId: DiffId): void {
    const step = this.get(key);
    if (step !== undefined && step.diffId !== diffId) this.#db.put(STEP_KIND, key, { ...step, diffId });
  }

  /** The snapshot goes when nothing else needs it. */
  forget(key: string): void {
    this.#db.delete(STEP_KIND, key);
  }

  /** Of a cache elsewhere, whose layers are here. */
  recordStack(digest: string, stack: KnownStack): void {
    this.#db.put(STACK_KIND, digest, stack);
  }

  /** Undefined when no image has its layers any more. */
  findStack(digest: string): KnownStack | undefined {
    const stack = decodeStack(this.#db.get(STACK_KIND, digest));
    if (stack === undefined) return undefined;
    const chainId = chainIdOf(stack.diffIds);
    if (chainId !== undefined && this.#layers.get(chainId) !== undefined) return stack;
    this.#db.delete(STACK_KIND, digest);
    return undefined;
  }

  /** Keeps none whose layers are gone, or none at all. */
  forgetStacks(all: boolean): void {
    for (const { id } of this.#db.list(STACK_KIND))
      if (all) this.#db.delete(STACK_KIND, id);
      else this.findStack(id);
  }

  /** Why a step was not found: how it differs from the one that was last built in its place. Undefined: it is new. */
  whyNot(place: string, meaning: Meaning): readonly string[] | undefined {
    const document = this.#db.get(PLACE_KIND, placeId(place));
    if (typeof document !== 'object' || document === null) return undefined;
    const before = new Map<string, unknown>(Object.entries(document));
    const now = digests(meaning);
    const names = new Set([...before.keys(), ...Object.keys(now)]);
    return [...names].filter((name) => before.get(name) !== now[name]).sort();
  }

  /** Digests only: what a build argument says is not kept. */
  notePlace(place: string, meaning: Meaning): void {
    this.#db.put(PLACE_KIND, placeId(place), digests(meaning));
  }
}

const placeId = (place: string): string => createHash('sha256').update(place).digest('hex');

function digests(meaning: Meaning): Record<string, string> {
  const entries = Object.entries(meaning).map(([name, value]) => {
    const text = JSON.stringify(value) ?? '';
    return [name, createHash('sha256').update(text).digest('hex').slice(0, 32)] as const;
  });
  return Object.fromEntries(entries);
}

function decode(key: string, document: unknown): CachedStep | undefined {
  if (typeof document !== 'object' || document === null || !('snapshot' in document)) return undefined;
  // as: only `record` and `find` write documents of this kind.
  return { ...(document as Omit<CachedStep, 'key'>), key };
}

function decodeStack(document: unknown): KnownStack | undefined {
  if (typeof document !== 'object' || document === null || !('diffIds' in document)) return undefined;
  // as: only `recordStack` writes documents of this kind.
  return document as KnownStack;
}
