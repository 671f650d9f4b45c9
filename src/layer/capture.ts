/** A container's own files as a layer, for `commit`. */
import { randomBytes } from 'node:crypto';
import type { GraphDriver } from '#graphdriver/driver.ts';
import { byteString, type ByteString } from '#pkg/archive/entry.ts';
import type { ArchiveResult } from '#pkg/archive/jobs.ts';
import type { ArchivePool } from '#pkg/archive/pool.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import type { PreparedLayer } from './register.ts';

interface Means {
  readonly driver: GraphDriver;
  readonly pool: ArchivePool;
}

interface Options {
  readonly skip: ReadonlySet<string>;
  readonly signal?: AbortSignal | undefined;
}

const inArchive = (absolute: string): ByteString => byteString(absolute.slice(1));

/** The tar of what a sealed snapshot brings; its files stay where they are. */
export async function captureSnapshot(
  { driver, pool }: Means,
  id: string,
  file: string,
  signal: AbortSignal | undefined,
  secondsMax: number | undefined,
): Promise<ArchiveResult> {
  const common = {
    secondsMax,
    kind: 'capture',
    from: driver.directory(id),
    file,
    target: undefined,
    skip: new Set<string>(),
  } as const;
  if (!driver.needsParentFirst) {
    return pool.run({ ...common, whiteouts: 'overlay', only: undefined, deleted: [] }, { signal });
  }
  const changes = await driver.changes(id);
  const only = new Set(changes.filter(({ kind }) => kind !== 2).map(({ path }) => inArchive(path)));
  const deleted = changes.filter(({ kind }) => kind === 2).map(({ path }) => inArchive(path));
  return pool.run({ ...common, whiteouts: 'none', only, deleted }, { signal });
}

/** See LayerStore.capture. */
export async function captureLayer(
  means: Means,
  containerId: string,
  file: string,
  { skip, signal }: Options,
): Promise<PreparedLayer> {
  const { driver, pool } = means;
  const common = { kind: 'capture', from: driver.directory(containerId), file } as const;
  const skipped = new Set([...skip].map(inArchive));
  if (driver.needsParentFirst) {
    // All files are there: what differs from the parent has to be looked for. It is unpacked when it is registered.
    const changes = await driver.changes(containerId);
    const only = new Set(changes.filter(({ kind }) => kind !== 2).map(({ path }) => inArchive(path)));
    const deleted = changes.filter(({ kind }) => kind === 2).map(({ path }) => inArchive(path));
    const job = { ...common, whiteouts: 'none', target: undefined, skip: skipped, only, deleted } as const;
    const result = await pool.run(job, { signal });
    return { result, target: undefined, [Symbol.asyncDispose]: async () => undefined };
  }
  const cacheId = randomBytes(32).toString('hex');
  const diff = await driver.diffTarget(cacheId, undefined);
  try {
    const job = { ...common, whiteouts: 'overlay', target: diff.path, skip: skipped, only: undefined } as const;
    const result = await pool.run({ ...job, deleted: [] }, { signal });
    failpoint('commit.captured');
    return { result, target: { cacheId, diff }, [Symbol.asyncDispose]: () => diff[Symbol.asyncDispose]() };
  } catch (error) {
    await diff[Symbol.asyncDispose]();
    throw error;
  }
}
