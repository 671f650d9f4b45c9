/**
 * The image configuration: the JSON whose digest is the image's id. It comes from strangers, so everything that is used
 * is checked here; the bytes themselves are kept as they are, since their digest is the identity.
 */
import type { HealthConfig } from '#api/types/container.ts';
import { dataLoss } from '#errdefs/errors.ts';
import { type DiffId, isDiffId } from '#layer/chain-id.ts';

export const CONFIG_BYTES_MAX = 4 << 20;
const LAYERS_MAX = 500;
const HISTORY_MAX = 10_000;

/** The `config` object: what a container gets unless it says otherwise. */
export interface ImageRunConfig {
  readonly Hostname?: string | undefined;
  readonly Domainname?: string | undefined;
  readonly User?: string | undefined;
  readonly ExposedPorts?: Readonly<Record<string, Record<string, never>>> | null | undefined;
  readonly Env?: readonly string[] | null | undefined;
  readonly Entrypoint?: readonly string[] | null | undefined;
  readonly Cmd?: readonly string[] | null | undefined;
  readonly Volumes?: Readonly<Record<string, Record<string, never>>> | null | undefined;
  readonly WorkingDir?: string | undefined;
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  readonly StopSignal?: string | undefined;
  readonly Healthcheck?: HealthConfig | null | undefined;
  readonly OnBuild?: readonly string[] | null | undefined;
  readonly Shell?: readonly string[] | null | undefined;
  readonly ArgsEscaped?: boolean | undefined;
}

export interface HistoryEntry {
  readonly created?: string | undefined;
  readonly created_by?: string | undefined;
  readonly author?: string | undefined;
  readonly comment?: string | undefined;
  readonly empty_layer?: boolean | undefined;
}

export interface ImageConfigFile {
  readonly created?: string | undefined;
  readonly author?: string | undefined;
  readonly comment?: string | undefined;
  readonly container?: string | undefined;
  readonly docker_version?: string | undefined;
  readonly architecture: string;
  readonly variant?: string | undefined;
  readonly os: string;
  readonly 'os.version'?: string | undefined;
  readonly config?: ImageRunConfig | undefined;
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly DiffId[] };
  readonly history: readonly HistoryEntry[];
}

type Fields = Readonly<Record<string, unknown>>;

/** Errors: data-loss naming the field. */
export function decodeImageConfig(bytes: Uint8Array): ImageConfigFile {
  const document = parseJsonObject(bytes, 'image configuration');
  const rootfs = optionalObject(document, 'rootfs') ?? {};
  const diffIds = (optionalArray(rootfs, 'diff_ids') ?? []).map((diffId) => {
    if (typeof diffId !== 'string' || !isDiffId(diffId)) throw wrong('rootfs.diff_ids');
    return diffId;
  });
  if (diffIds.length > LAYERS_MAX) throw dataLoss(`invalid image configuration: more than ${LAYERS_MAX} layers`);
  const config = optionalObject(document, 'config');
  const history = (optionalArray(document, 'history') ?? []).map((entry) => decodeHistory(entry));
  if (history.length > HISTORY_MAX) throw wrong('history');
  return {
    created: time(document, 'created'),
    author: text(document, 'author'),
    comment: text(document, 'comment'),
    container: text(document, 'container'),
    docker_version: text(document, 'docker_version'),
    architecture: text(document, 'architecture') ?? '',
    variant: text(document, 'variant'),
    os: text(document, 'os') ?? '',
    'os.version': text(document, 'os.version'),
    config: config === undefined ? undefined : decodeRunConfig(config),
    rootfs: { type: 'layers', diff_ids: diffIds },
    history,
  };
}

function decodeRunConfig(config: Fields): ImageRunConfig {
  const health = optionalObject(config, 'Healthcheck');
  return {
    Hostname: text(config, 'Hostname'),
    Domainname: text(config, 'Domainname'),
    User: text(config, 'User'),
    ExposedPorts: emptyObjects(config, 'ExposedPorts'),
    Env: texts(config, 'Env'),
    Entrypoint: texts(config, 'Entrypoint'),
    Cmd: texts(config, 'Cmd'),
    Volumes: emptyObjects(config, 'Volumes'),
    WorkingDir: text(config, 'WorkingDir'),
    Labels: textMap(config, 'Labels'),
    StopSignal: text(config, 'StopSignal'),
    Healthcheck: health === undefined ? undefined : decodeHealth(health),
    OnBuild: texts(config, 'OnBuild'),
    Shell: texts(config, 'Shell'),
    ArgsEscaped: flag(config, 'ArgsEscaped'),
  };
}

function decodeHealth(health: Fields): HealthConfig {
  const decoded: HealthConfig = {};
  const test = texts(health, 'Test');
  if (test !== undefined) decoded.Test = [...test];
  for (const key of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'] as const) {
    const value = health[key];
    if (value === undefined || value === null) continue;
    if (typeof value !== 'number' || !Number.isFinite(value)) throw wrong(`config.Healthcheck.${key}`);
    decoded[key] = value;
  }
  return decoded;
}

function decodeHistory(entry: unknown): HistoryEntry {
  if (!isObject(entry)) throw wrong('history');
  return {
    created: time(entry, 'created'),
    created_by: text(entry, 'created_by'),
    author: text(entry, 'author'),
    comment: text(entry, 'comment'),
    empty_layer: flag(entry, 'empty_layer'),
  };
}

/** Errors: data-loss for what is no JSON object. */
export function parseJsonObject(bytes: Uint8Array, what: string): Fields {
  const parsed = parseJson(bytes, what);
  if (!isObject(parsed)) throw dataLoss(`invalid ${what}: not a JSON object`);
  return parsed;
}

export function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw dataLoss(`invalid ${what}: not JSON`, { cause });
  }
}

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const wrong = (field: string) => dataLoss(`invalid image configuration: "${field}" is malformed`);

function optionalObject(fields: Fields, key: string): Fields | undefined {
  const value = fields[key];
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw wrong(key);
  return value;
}

function optionalArray(fields: Fields, key: string): readonly unknown[] | undefined {
  const value = fields[key];
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw wrong(key);
  // as: Array.isArray makes any[] of unknown.
  return value as readonly unknown[];
}

function text(fields: Fields, key: string): string | undefined {
  const value = fields[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw wrong(key);
  return value;
}

function time(fields: Fields, key: string): string | undefined {
  const value = text(fields, key);
  if (value === undefined || value === '') return undefined;
  if (Number.isNaN(Date.parse(value))) throw wrong(key);
  return value;
}

function flag(fields: Fields, key: string): boolean | undefined {
  const value = fields[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'boolean') throw wrong(key);
  return value;
}

function texts(fields: Fields, key: string): readonly string[] | undefined {
  return optionalArray(fields, key)?.map((value) => {
    if (typeof value !== 'string') throw wrong(key);
    return value;
  });
}

function textMap(fields: Fields, key: string): Readonly<Record<string, string>> | undefined {
  const object = optionalObject(fields, key);
  if (object === undefined) return undefined;
  const decoded: [string, string][] = Object.entries(object).map(([name, value]) => {
    if (typeof value !== 'string') throw wrong(key);
    return [name, value];
  });
  return Object.fromEntries(decoded);
}

/** Go's `map[string]struct{}`: only the names mean something. */
function emptyObjects(fields: Fields, key: string): Readonly<Record<string, Record<string, never>>> | undefined {
  const object = optionalObject(fields, key);
  return object === undefined ? undefined : Object.fromEntries(Object.keys(object).map((name) => [name, {}]));
}
