/** A stream from the daemon into a file that the user named. */
import { closeSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { ExitError } from '../command.ts';
import { OutputPort } from './output-port.ts';

const FILE_MODE = 0o600;

/** A file is there whole or not at all; a device or pipe is written as it is. `what`: begins the complaint of a path. */
export async function writeWhole(path: string, body: ReadableStream<Uint8Array>, what = ''): Promise<void> {
  const folder = dirname(path);
  if (statSync(folder, { throwIfNoEntry: false }) === undefined) {
    throw new ExitError(1, `${what}invalid output path: stat ${folder}: no such file or directory`);
  }
  const existing = statSync(path, { throwIfNoEntry: false });
  if (existing?.isDirectory() === true) throw new ExitError(1, `${what}invalid output path: "${path}" must be a file`);
  const inPlace = existing !== undefined && !existing.isFile();
  const target = inPlace ? path : `${path}.${process.pid}.part`;
  const fd = openSync(target, inPlace ? 'w' : 'wx', FILE_MODE);
  try {
    const file = new OutputPort(fd);
    for await (const chunk of body) await file.write(chunk);
    if (!inPlace) renameSync(target, path);
  } catch (error) {
    if (!inPlace) rmSync(target, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}
