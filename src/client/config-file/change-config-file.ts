/** Changes `~/.docker/config.json` without losing what we do not know. */
import * as fs from 'node:fs';
import { writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';
import { configFileOf, readConfigFile } from './config-file.ts';

type Json = Readonly<Record<string, unknown>>;

const MODE = 0o600;
const MODE_DIRECTORY = 0o700;

/**
 * Replaces keys; undefined removes one. Written whole or not at all, through a symbolic link, readable by its owner only.
 * @throws when it is there and cannot be read: it would be lost
 */
export function changeConfigFile(directory: string, change: (json: Json) => Json): void {
  const { json, problem } = readConfigFile(directory);
  if (problem !== undefined) throw new Error(`Cannot change the configuration: ${problem}`);
  fs.mkdirSync(directory, { recursive: true, mode: MODE_DIRECTORY });
  const file = configFileOf(directory);
  const target = fs.existsSync(file) ? fs.realpathSync(file) : file;
  writeFileAtomic(target, `${JSON.stringify(change(json), undefined, '\t')}\n`, { mode: MODE });
}
