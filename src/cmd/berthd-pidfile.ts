/** The pid file: for supervisors. That a data root has one daemon is the lock's business (daemon/roots). */
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { systemError } from '#errdefs/errors.ts';
import { writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';

/** Written over what a killed daemon left behind; removed at the end. */
export function writePidFile(file: string): Disposable {
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileAtomic(file, String(process.pid), { mode: 0o644, durable: false });
  } catch (error) {
    throw systemError(`Cannot write pid file "${file}"`, { cause: error });
  }
  return { [Symbol.dispose]: () => rmSync(file, { force: true }) };
}
