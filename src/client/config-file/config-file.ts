/**
 * `~/.docker/config.json`, which docker's client and its plugins share with ours: read leniently, as docker does.
 * change-config-file.ts changes it.
 */
import { nodeFs } from '../node-modules.ts';

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
  return named === '' ? `${environment['HOME'] ?? '/root'}/.docker` : named;
}

export function configFileOf(directory: string): string {
  return `${directory.replace(/\/+$/, '')}/config.json`;
}

export function readConfigFile(directory: string): ConfigFile {
  const file = configFileOf(directory);
  try {
    return decoded(directory, nodeFs().readFileSync(file, 'utf8'));
  } catch (error) {
    return unreadable(directory, error);
  }
}

/** As readConfigFile, for a cold process: by the runtime's own reading. */
export async function loadConfigFile(directory: string): Promise<ConfigFile> {
  try {
    const file = Bun.file(configFileOf(directory));
    // Asked at once: reading starts two threads, and many have no such file.
    if (file.size === 0) return { directory, json: {} };
    return decoded(directory, await file.text());
  } catch (error) {
    return unreadable(directory, error);
  }
}

function unreadable(directory: string, error: unknown): ConfigFile {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { directory, json: {} };
  return { directory, json: {}, problem: `${configFileOf(directory)}: ${String(error)}` };
}

function decoded(directory: string, text: string): ConfigFile {
  const file = configFileOf(directory);
  try {
    const value: unknown = text.trim() === '' ? {} : JSON.parse(text);
    if (isJson(value)) return { directory, json: value };
    return { directory, json: {}, problem: `${file}: not a JSON object` };
  } catch (error) {
    return { directory, json: {}, problem: `${file}: ${error instanceof Error ? error.message : String(error)}` };
  }
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
