/** Tars of layers that are not kept, made of the layers' files once more: byte for byte, or not at all. */
import * as fs from 'node:fs';
import { dataLoss } from '#errdefs/errors.ts';
import type { GraphDriver } from '#graphdriver/driver.ts';
import type { ArchivePool } from '#pkg/archive/pool.ts';
import { packFiles } from './capture.ts';
import type { DiffId } from './chain-id.ts';
import type { Layer } from './records.ts';
import { tarRecordOf } from './register.ts';

interface Means {
  readonly driver: GraphDriver;
  readonly pool: ArchivePool;
}

/** See LayerStore.packAgain. */
export async function packAgain(
  means: Means,
  { cacheId, diffId }: Layer,
  to: { readonly file: string; readonly over: string | undefined; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const { file, over, signal } = to;
  check(diffId, (await packFiles(means, { id: cacheId, over }, { file, signal })).diffId);
}

/** See LayerStore.assemble. */
export async function assembleLayer(
  { driver, pool }: Means,
  { cacheId, diffId }: Layer,
  file: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const from = driver.directory(cacheId);
  const record = tarRecordOf(from);
  if (!fs.existsSync(record)) return false;
  check(diffId, (await pool.run({ kind: 'assemble', record, from, file }, { signal })).diffId);
  return true;
}

function check(wanted: DiffId, made: string): void {
  if (made !== wanted) throw dataLoss(`the files of layer ${wanted} have changed: they are ${made}`);
}
