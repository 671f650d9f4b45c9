/** Chooses and opens the graph driver of a data root. */
import * as path from 'node:path';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import type { ArchivePool } from '#pkg/archive/pool.ts';
import { log } from '#pkg/log/log.ts';
import type { GraphDriver } from './driver.ts';
import { OverlayDriver } from './overlay.ts';
import { VfsDriver } from './vfs.ts';

/**
 * `name` is `--storage-driver`: 'overlay' (also under Docker's name overlay2), 'vfs', or '' for the best that works here.
 * Errors: invalid-parameter for another name; system when the one asked for does not work.
 */
export function openGraphDriver(options: {
  readonly dataRoot: string;
  readonly name: string;
  readonly pool: ArchivePool;
}): GraphDriver {
  const { dataRoot, name, pool } = options;
  const overlay = (): GraphDriver => OverlayDriver.open(path.join(dataRoot, 'overlay'), pool);
  const vfs = (): GraphDriver => VfsDriver.open(path.join(dataRoot, 'vfs'), pool);
  switch (name) {
    case 'overlay':
    case 'overlay2':
      return overlay();
    case 'vfs':
      return vfs();
    case '':
      break;
    default:
      throw invalidParameter(`storage driver "${name}" is not supported: use overlay or vfs`);
  }
  try {
    return overlay();
  } catch (error) {
    log.warn('overlay does not work here, layers are kept as whole copies (vfs)', { err: messageOf(error) });
    return vfs();
  }
}
