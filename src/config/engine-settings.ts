/**
 * Keys that say how the daemon itself behaves towards its clients and its host: its log, the oldest API, experimental
 * mode, features, options of the runtime. What is not in force on this host is refused by name.
 */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import type { ConfigValue } from './values.ts';

export type CgroupDriver = 'cgroupfs' | 'systemd';

export interface EngineSettings {
  readonly logFormat: 'json' | 'text';
  /** Second number of the oldest API that is served. */
  readonly minApiMinor: number;
  /** Told to clients; nothing here hides behind it. */
  readonly experimental: boolean;
  /** The program of `--init`; '': our own. */
  readonly initPath: string;
  /** What `native.cgroupdriver` asks for; undefined: whatever this host has. */
  readonly cgroupDriver: CgroupDriver | undefined;
  /** False: clients are told to take the classic builder's API. */
  readonly buildkit: boolean;
  /** False: no devices by their CDI names. */
  readonly cdi: boolean;
  readonly withoutEffect: readonly { readonly key: string; readonly reason: string }[];
}

const API_MINOR_MIN = 24;
const API_MINOR_MAX = 51;

type Values = ReadonlyMap<string, ConfigValue>;

/** Errors: invalid-parameter and not-implemented, naming key and value. */
export function engineSettingsOf(values: Values): EngineSettings {
  const features = featuresOf(values.get('features'));
  return {
    logFormat: logFormatOf(textOf(values, 'log-format')),
    minApiMinor: minApiMinorOf(textOf(values, 'min-api-version')),
    experimental: values.get('experimental') === true,
    initPath: textOf(values, 'init-path'),
    cgroupDriver: cgroupDriverOf(values.get('exec-opts')),
    buildkit: features.get('buildkit') ?? true,
    cdi: features.get('cdi') ?? true,
    withoutEffect: Object.entries(FEATURES_WITHOUT_EFFECT)
      .filter(([name]) => features.has(name))
      .map(([name, reason]) => ({ key: `features: ${name}`, reason })),
  };
}

const textOf = (values: Values, key: string): string => {
  const value = values.get(key);
  return typeof value === 'string' ? value : '';
};

/** JSON unless asked otherwise: it is made to be read by machines, as Docker's is by people. */
function logFormatOf(text: string): 'json' | 'text' {
  if (text === '' || text === 'json') return 'json';
  if (text === 'text') return 'text';
  throw invalidParameter(`invalid log format: ${text}`);
}

function minApiMinorOf(text: string): number {
  if (text === '') return API_MINOR_MIN;
  const refuse = (why: string) => invalidParameter(`invalid value for "min-api-version": "${text}": ${why}`);
  if (/^v/i.test(text)) throw refuse('API version must be provided without "v" prefix');
  const minor = Number(/^1\.(\d{1,3})$/.exec(text)?.[1] ?? Number.NaN);
  if (Number.isNaN(minor)) throw refuse('want 1.NN');
  if (minor < API_MINOR_MIN) throw refuse(`the minimum supported API version is 1.${API_MINOR_MIN}`);
  if (minor > API_MINOR_MAX) throw refuse(`the maximum supported API version is 1.${API_MINOR_MAX}`);
  return minor;
}

function cgroupDriverOf(value: ConfigValue | undefined): CgroupDriver | undefined {
  let driver: CgroupDriver | undefined;
  for (const option of Array.isArray(value) ? value.map(String) : []) {
    const at = option.indexOf('=');
    if (at < 0) throw invalidParameter(`invalid exec-opt (${option}): must be formatted 'opt=value'`);
    const [name, text] = [option.slice(0, at).trim(), option.slice(at + 1).trim()];
    if (name !== 'native.cgroupdriver')
      throw invalidParameter(`invalid exec-opt (${option}): unknown option: '${name}'`);
    if (text === 'cgroupfs' || text === 'systemd') driver = text;
    else if (text !== '') throw invalidParameter(`invalid exec-opt (${option}): want cgroupfs or systemd`);
  }
  return driver;
}

const FEATURES_WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  'containerd-snapshotter': 'images are kept as they came, with their indexes, either way',
  'containerd-migration': 'there is no containerd to migrate to',
  'windows-dns-proxy': 'this is not Windows',
};
/** Docker's own that are not there: only off is in force. */
const FEATURES_OFF = ['time-namespaces', 'embedded-containerd', 'swarm-nftables'];

const isObject = (value: ConfigValue | undefined): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && !Array.isArray(value);

function featuresOf(value: ConfigValue | undefined): ReadonlyMap<string, boolean> {
  const features = new Map<string, boolean>();
  for (const [name, given] of Object.entries<unknown>(isObject(value) ? value : {})) {
    const on = given === true || given === 'true' || given === '1';
    if (!on && given !== false && given !== 'false' && given !== '0') {
      throw invalidParameter(
        `invalid value for "features": ${name}: must be true or false, not ${JSON.stringify(given)}`,
      );
    }
    const known = ['buildkit', 'cdi', ...FEATURES_OFF].includes(name) || name in FEATURES_WITHOUT_EFFECT;
    if (!known) throw invalidParameter(`invalid value for "features": unknown feature "${name}"`);
    if (on && FEATURES_OFF.includes(name)) {
      throw notImplemented(`Cannot honour "features" with ${name}: this is not there`);
    }
    features.set(name, on);
  }
  return features;
}
