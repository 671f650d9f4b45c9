/**
 * `~/.docker/config.json`, which docker's client and its plugins share with ours: read leniently, as docker does, and
 * changed without losing what we do not know.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';

type Environment = Readonly<Record<string, string | undefined>>;
type Json = Readonly<Record<string, unknown>>;

export interface ConfigFile {
  readonly directory: string;
  /** Why it could not be read; undefined when it was, or is not there. */
  readonly problem?: string;
  readonly json: Json;
}

/** `--config`, DOCKER_CONFIG, `~/.docker`. */
export function configDirectory(environment: Environment, flag = ''): string {
  if (flag !== '') return flag;
  const named = environment['DOCKER_CONFIG'] ?? '';
  return named === '' ? path.join(environment['HOME'] ?? '/root', '.docker') : named;
}

export function readConfigFile(directory: string): ConfigFile {
  const file = path.join(directory, 'config.json');
  let text: string;
  try {
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    return absent ? { directory, json: {} } : { directory, json: {}, problem: `${file}: ${String(error)}` };
  }
  try {
    const value: unknown = text.trim() === '' ? {} : JSON.parse(text);
    if (isJson(value)) return { directory, json: value };
    return { directory, json: {}, problem: `${file}: not a JSON object` };
  } catch (error) {
    return { directory, json: {}, problem: `${file}: ${error instanceof Error ? error.message : String(error)}` };
  }
}

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
  const file = path.join(directory, 'config.json');
  const target = fs.existsSync(file) ? fs.realpathSync(file) : file;
  writeFileAtomic(target, `${JSON.stringify(change(json), undefined, '\t')}\n`, { mode: MODE });
}

/** A text value of a key; '' when it is absent or something else. */
export function textOf(json: Json, key: string): string {
  const value = json[key];
  return typeof value === 'string' ? value : '';
}

/** The text values of an object; others are left out. */
export function textsOf(json: Json, key: string): Readonly<Record<string, string>> {
  const value = json[key];
  if (!isJson(value)) return {};
  return Object.fromEntries(Object.entries(value).filter((e): e is [string, string] => typeof e[1] === 'string'));
}

export function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
