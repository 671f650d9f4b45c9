/**
 * Snapshots of a build become layers where they lie: tars are made of them, and records written; nothing is copied. A
 * stack whose layers are here already, made by somebody else, is used instead.
 */
import assert from 'node:assert/strict';
import type { GraphDriver } from '#graphdriver/driver.ts';
import type { ArchiveResult } from '#pkg/archive/jobs.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { type ChainId, chainIds, type DiffId } from './chain-id.ts';
import type { Layer } from './records.ts';
import { isKept, type RegisterOptions } from './register.ts';
import type { Snapshots } from './snapshots.ts';

/** A snapshot and the tar that was made of it. */
export interface CapturedSnapshot {
  readonly snapshot: string;
  /** Undefined: it was measured only, and can be made again of the files. */
  readonly file: string | undefined;
  readonly result: ArchiveResult;
}

interface Means {
  readonly driver: GraphDriver;
  readonly snapshots: Snapshots;
  existing(chainId: ChainId): Layer | undefined;
  /** The layer whose files are the snapshot's. */
  ofSnapshot(id: string): Layer | undefined;
  record(layers: readonly Layer[]): void;
}

/** `below`: the stack that is there already. Answers the made stack; its last ChainId is the image's. */
export async function adoptSnapshots(
  means: Means,
  below: readonly DiffId[],
  made: readonly CapturedSnapshot[],
  options: RegisterOptions,
): Promise<Layer[]> {
  const { driver, snapshots } = means;
  // as: digests that the Worker computed.
  const diffIds = [...below, ...made.map(({ result }) => result.diffId as DiffId)];
  const chain = chainIds(diffIds);
  for (const chainId of chain) options.lease.add(chainId);
  const fresh: { layer: Layer; file: string | undefined }[] = [];
  const stack: Layer[] = [];
  for (const [index, { snapshot, result, file }] of made.entries()) {
    const chainId = chain[below.length + index];
    const diffId = diffIds[below.length + index];
    assert(chainId !== undefined && diffId !== undefined);
    const parent = chain[below.length + index - 1];
    const known = means.existing(chainId);
    if (known !== undefined) {
      stack.push(known);
      continue;
    }
    assert(means.ofSnapshot(snapshot) === undefined, 'a snapshot is the files of one layer');
    const parentLayer = index === 0 ? (parent === undefined ? undefined : means.existing(parent)) : stack[index - 1];
    standOn(means, snapshot, parent, parentLayer?.cacheId);
    const { compression } = result;
    assert(isKept(compression), 'a tar of a snapshot is not compressed');
    const layer: Layer = {
      chainId,
      diffId,
      parent,
      cacheId: snapshot,
      size: result.counts.bytes,
      tarSize: result.tarSize,
      blob: { digest: result.blobDigest, size: result.blobSize, compression },
    };
    stack.push(layer);
    fresh.push({ layer, file });
  }
  if (fresh.length === 0) return stack;
  await driver.sync();
  const files = fresh.flatMap(({ layer, file }) => (file === undefined ? [] : [{ file, digest: layer.blob.digest }]));
  await options.keep(files);
  failpoint('build.blob-written');
  means.record(fresh.map(({ layer }) => layer));
  for (const { layer } of fresh) {
    snapshots.change(layer.cacheId, { synced: true });
    const { over } = snapshots.need(layer.cacheId);
    if (over !== undefined) snapshots.change(over, { synced: true });
  }
  return stack;
}

/** What is below it may be there twice: from now on it needs the layers, which the image needs too. */
function standOn(means: Means, id: string, parent: ChainId | undefined, cacheId: string | undefined): void {
  const snapshot = means.snapshots.need(id);
  if (cacheId !== undefined && snapshot.parent === cacheId) return;
  means.driver.rebase(id, cacheId, snapshot.over);
  means.snapshots.change(id, { parent: undefined, base: parent });
}
