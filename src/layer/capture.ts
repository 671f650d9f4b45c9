/** What containers and builds have made as tars: one layer, or several as one. */
import { randomBytes } from 'node:crypto';
import type { GraphDriver } from '#graphdriver/driver.ts';
import { isDirectory, tryStatBelow } from '#graphdriver/walk.ts';
import { kernelName } from '#pkg/archive/directories.ts';
import { byteString, type ByteString, textOf } from '#pkg/archive/entry.ts';
import type { ArchiveResult } from '#pkg/archive/jobs.ts';
import type { ArchivePool } from '#pkg/archive/pool.ts';
import { readNames } from '#pkg/archive/remove-tree.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { type FileStatus, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { openInRoot } from '#sys/safe-path.ts';
import type { PreparedLayer } from './register.ts';
import type { Snapshot } from './snapshots.ts';

interface Means {
  readonly driver: GraphDriver;
  readonly pool: ArchivePool;
}

interface Options {
  readonly skip: ReadonlySet<string>;
  readonly signal?: AbortSignal | undefined;
}

const inArchive = (absolute: string): ByteString => byteString(absolute.slice(1));

interface TarTarget {
  readonly file: string;
  readonly signal: AbortSignal | undefined;
  readonly secondsMax?: number | undefined;
}

/** The tar of what a sealed snapshot brings; its files stay where they are. */
export async function captureSnapshot(
  { driver, pool }: Means,
  { id, over }: Pick<Snapshot, 'id' | 'over'>,
  { file, signal, secondsMax }: TarTarget,
): Promise<ArchiveResult> {
  if (over !== undefined) return packFiles({ driver, pool }, { id, over }, { file, signal, secondsMax });
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

/** The tar of a snapshot's files as they are seen, without what is below it; it hides nothing there. */
export async function packFiles(
  { driver, pool }: Means,
  { id, over }: Pick<Snapshot, 'id' | 'over'>,
  { file, signal, secondsMax }: TarTarget,
): Promise<ArchiveResult> {
  using own = driver.mountOwn(id, over);
  const job = {
    kind: 'capture',
    // The dot: a name that is no link.
    from: `/proc/self/fd/${own.fd}/.`,
    whiteouts: 'none',
    file,
    target: undefined,
    skip: new Set<string>(),
    only: undefined,
    deleted: [],
    secondsMax,
  } as const;
  return await pool.run(job, { signal });
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

/** Layers one above the other, the file system that they make, and the one below them. */
export interface Merging {
  /** Of the driver, bottom first. */
  readonly ids: readonly string[];
  /** Open root. */
  readonly root: number;
  /** Undefined: nothing is below. */
  readonly below: number | undefined;
}

/** The tar of what several layers bring together. */
export async function captureMerged(
  { driver, pool }: Means,
  { ids, root, below }: Merging,
  file: string,
  { signal, secondsMax }: { readonly signal?: AbortSignal | undefined; readonly secondsMax: number | undefined },
): Promise<ArchiveResult> {
  const present = new Set<string>();
  const gone = new Set<string>();
  for (const id of ids) {
    for (const { path, kind } of await driver.changes(id)) {
      if (kind === 2) gone.add(path);
      else present.add(path);
    }
  }
  const deleted: string[] = [];
  if (below !== undefined) for (const path of gone) collectHidden(below, root, path, deleted);
  const hidden = new Set(deleted);
  return pool.run(
    {
      kind: 'capture',
      // Behind the link: a descriptor of this process.
      from: `/proc/self/fd/${root}/.`,
      file,
      target: undefined,
      skip: new Set<string>(),
      whiteouts: 'none',
      only: new Set([...present].map(inArchive)),
      // What is below a deleted directory goes with it.
      deleted: deleted.filter((path) => !hidden.has(path.slice(0, path.lastIndexOf('/')))).map(inArchive),
      secondsMax,
    },
    { signal },
  );
}

/** What was below at `path` and is not there now. A directory that was made anew hides the names that it has not. */
function collectHidden(below: number, root: number, path: string, into: string[]): void {
  const before = look(below, path);
  if (before === undefined) return;
  const after = look(root, path);
  if (after === undefined) {
    into.push(path);
    return;
  }
  if (!isDirectory(before) || !isDirectory(after)) return;
  using directory = ownedFd(openInRoot(below, path, O.RDONLY | O.DIRECTORY));
  for (const { name } of readNames(directory.fd)) collectHidden(below, root, `${path}/${textOf(name)}`, into);
}

/** Not followed: what a link leads to is another file. */
function look(root: number, path: string): FileStatus | undefined {
  return tryStatBelow(root, kernelName(inArchive(path)));
}
