/**
 * The daemon's configuration: flags and daemon.json together, checked, with defaults. A key that is given both ways is
 * refused, as in dockerd, because nobody could tell which was meant.
 */
import * as path from 'node:path';
import { invalidParameter } from '#errdefs/errors.ts';
import { type LogLevel, logLevels } from '#pkg/log/log.ts';
import { parseBytes } from '#pkg/units/size.ts';
import { type BuilderSettings, builderSettingsOf } from './builder.ts';
import { type ContainerDefaults, containerDefaultsOf, type RuntimeConfig, runtimesOf } from './container-defaults.ts';
import { type EngineSettings, engineSettingsOf } from './engine-settings.ts';
import { DEFAULT_SOCKET, type HostSpec, metricsAddressOf, parseHost, type TlsSettings } from './hosts.ts';
import { type ImageSettings, imageSettingsOf } from './images.ts';
import { type LogArchiveBudget, logArchiveOf } from './log-archive.ts';
import { type NetworkDefaults, networkDefaultsOf } from './network-defaults.ts';
import { type RegistryConfig, registriesOf, startEnvironment } from './registries.ts';
import { keySpecs, specOfKey } from './keys.ts';
import { checkTreatment, checkType, type ConfigValue, shown } from './values.ts';

export const DEFAULT_CONFIG_FILE = '/etc/berth/daemon.json';

export interface DaemonConfig {
  readonly hosts: readonly HostSpec[];
  readonly tls: TlsSettings;
  /** Where /metrics is served alone and to everybody who can connect. */
  readonly metricsAddress: { readonly hostname: string; readonly port: number } | undefined;
  /** Of unix sockets; undefined: `berth` if it exists, else root. */
  readonly group: string | undefined;
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly pidfile: string;
  readonly storageDriver: 'overlay' | 'vfs' | undefined;
  /** undefined: `berth0`, or one of the data root's own; 'none': no bridge is made. */
  readonly bridge: string | undefined;
  /** Address and prefix length of the bridge; undefined: the first pool that is free. */
  readonly bip: string | undefined;
  readonly debug: boolean;
  readonly logLevel: LogLevel;
  readonly labels: readonly string[];
  /** 'berth' is our own. */
  readonly defaultRuntime: string;
  readonly noNewPrivileges: boolean;
  readonly init: boolean;
  /** Default user namespace of containers: `default`, user or user:group; undefined: the host's. */
  readonly usernsRemap: string | undefined;
  /** `START:COUNT` or a user with subordinate ids. */
  readonly usernsPool: string | undefined;
  /** `storage-opts`: the limit of containers that do not say; undefined: none. */
  readonly rootSizeBytes: number | undefined;
  readonly stopTimeoutSeconds: number;
  readonly logDriver: string;
  readonly logOptions: Readonly<Record<string, string>>;
  readonly logArchive: LogArchiveBudget;
  readonly images: ImageSettings;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  /** Where containers' name servers come from instead of the host's own file. */
  readonly resolvConf: string | undefined;
  /** Names of plugins that are asked about each request, in this order. */
  readonly authorizationPlugins: readonly string[];
  readonly builder: BuilderSettings;
  readonly containerDefaults: ContainerDefaults;
  readonly networkDefaults: NetworkDefaults;
  readonly engine: EngineSettings;
  /** Options of the registry that the daemon serves, in the words of `berth registry serve`; undefined: none. */
  readonly registry: Readonly<Record<string, unknown>> | undefined;
  readonly registries: RegistryConfig;
  /** Beside our own and those that are installed. */
  readonly runtimes: readonly RuntimeConfig[];
  /** Keys that were given and change nothing, with the reason: logged at the start. */
  readonly withoutEffect: readonly { readonly key: string; readonly reason: string }[];
}

/** Checks the file's text alone. Errors: invalid-parameter, not-implemented, naming the keys. */
export function parseConfigFile(text: string): Map<string, ConfigValue> {
  let parsed: unknown;
  try {
    parsed = text.trim() === '' ? {} : JSON.parse(text);
  } catch (error) {
    throw invalidParameter(`invalid JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw invalidParameter('invalid JSON: must be an object');
  }
  const unknown = Object.keys(parsed).filter((name) => !specOfKey.has(name));
  if (unknown.length > 0) {
    throw invalidParameter(`the following directives don't match any configuration option: ${unknown.join(', ')}`);
  }
  const values = new Map<string, ConfigValue>();
  for (const [name, given] of Object.entries(parsed)) {
    const spec = specOfKey.get(name);
    if (spec === undefined) continue;
    values.set(name, checkType(spec, given));
  }
  return values;
}

function refuseBothWays(flags: ReadonlyMap<string, ConfigValue>, file: ReadonlyMap<string, ConfigValue>): void {
  const conflicts: string[] = [];
  for (const [name, fromFlag] of flags) {
    const fromFile = file.get(name);
    if (fromFile === undefined) continue;
    conflicts.push(`${name}: (from flag: ${shown(fromFlag)}, from file: ${shown(fromFile)})`);
  }
  if (conflicts.length === 0) return;
  throw invalidParameter(
    `the following directives are specified both as a flag and in the configuration file: ${conflicts.join(', ')}`,
  );
}

class Values {
  readonly #values: ReadonlyMap<string, ConfigValue>;

  constructor(values: ReadonlyMap<string, ConfigValue>) {
    this.#values = values;
  }

  text(name: string): string | undefined {
    const value = this.#values.get(name);
    return typeof value === 'string' && value !== '' ? value : undefined;
  }

  flag(name: string): boolean {
    return this.#values.get(name) === true;
  }

  integer(name: string): number | undefined {
    const value = this.#values.get(name);
    return typeof value === 'number' ? value : undefined;
  }

  texts(name: string): readonly string[] {
    const value = this.#values.get(name);
    return Array.isArray(value) ? value.map(String) : [];
  }

  textMap(name: string): Readonly<Record<string, string>> {
    const value = this.#values.get(name);
    if (typeof value !== 'object' || Array.isArray(value)) return {};
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, String(entry)]));
  }

  object(name: string): Readonly<Record<string, unknown>> | undefined {
    const value = this.#values.get(name);
    return typeof value === 'object' && !Array.isArray(value) ? Object.fromEntries(Object.entries(value)) : undefined;
  }

  /** A file that is read once, at the start: it may be named from where the daemon was started. */
  fileHere(name: string, fallback: string): string {
    return path.resolve(this.text(name) ?? fallback);
  }

  path(name: string, fallback: string): string {
    const value = this.text(name) ?? fallback;
    if (!value.startsWith('/'))
      throw invalidParameter(`invalid value for "${name}": "${value}" is not an absolute path`);
    return value === '/' ? value : value.replace(/\/+$/, '');
  }
}

/** Errors: invalid-parameter, forbidden, not-implemented, each naming key or flag. */
export function buildConfig(
  flags: ReadonlyMap<string, ConfigValue>,
  file: ReadonlyMap<string, ConfigValue>,
): DaemonConfig {
  refuseBothWays(flags, file);
  const merged = new Map([...file, ...flags]);
  const withoutEffect: { key: string; reason: string }[] = [];
  for (const spec of keySpecs) {
    const value = merged.get(spec.key);
    if (value === undefined) continue;
    checkTreatment(spec, value);
    if (spec.treatment.kind === 'no-effect') withoutEffect.push({ key: spec.key, reason: spec.treatment.reason });
  }
  const values = new Values(merged);
  const engine = engineSettingsOf(merged);
  withoutEffect.push(...engine.withoutEffect);
  const containerDefaults = containerDefaultsOf(merged);
  const execRoot = values.path('exec-root', '/run/berth');
  const tls = tlsOf(values);
  const hosts = values.texts('hosts');
  return {
    hosts: (hosts.length === 0 ? [`unix://${DEFAULT_SOCKET}`] : hosts).map((host) => parseHost(host, tls)),
    tls,
    metricsAddress: metricsAddressOf(values.text('metrics-addr')),
    group: values.text('group'),
    dataRoot: values.path('data-root', '/var/lib/berth'),
    execRoot,
    pidfile: values.path('pidfile', `${execRoot}/berthd.pid`),
    storageDriver: storageDriverOf(values.text('storage-driver')),
    bridge: bridgeOf(values.text('bridge')),
    bip: bipOf(values.text('bip')),
    debug: values.flag('debug'),
    logLevel: values.flag('debug') ? 'debug' : logLevelOf(values.text('log-level')),
    labels: labelsOf(values.texts('labels')),
    defaultRuntime: values.text('default-runtime') ?? 'berth',
    noNewPrivileges: values.flag('no-new-privileges'),
    init: values.flag('init'),
    usernsRemap: values.text('userns-remap'),
    usernsPool: values.text('userns-pool'),
    rootSizeBytes: rootSizeOf(values.texts('storage-opts')),
    stopTimeoutSeconds: stopTimeoutOf(values.integer('default-stop-timeout')),
    logDriver: values.text('log-driver') ?? 'json-file',
    logOptions: values.textMap('log-opts'),
    logArchive: logArchiveOf(merged.get('log-archive')),
    images: imageSettingsOf(merged.get('images')),
    dns: values.texts('dns').map(addressOf),
    dnsSearch: values.texts('dns-search'),
    dnsOptions: values.texts('dns-opts'),
    resolvConf: values.text('resolv-conf') === undefined ? undefined : values.path('resolv-conf', ''),
    authorizationPlugins: [...new Set(values.texts('authorization-plugins'))],
    builder: builderSettingsOf(merged.get('builder')),
    containerDefaults: engine.cdi ? containerDefaults : { ...containerDefaults, cdiSpecDirs: [] },
    engine,
    networkDefaults: networkDefaultsOf(merged),
    registry: values.object('registry'),
    registries: registriesOf(merged, startEnvironment),
    runtimes: runtimesOf(merged),
    withoutEffect,
  };
}

function tlsOf(values: Values): TlsSettings {
  const verify = values.flag('tlsverify');
  return {
    mode: verify ? 'mutual' : values.flag('tls') ? 'server' : 'none',
    caCert: values.fileHere('tlscacert', '/etc/berth/ca.pem'),
    cert: values.fileHere('tlscert', '/etc/berth/cert.pem'),
    key: values.fileHere('tlskey', '/etc/berth/key.pem'),
  };
}

function storageDriverOf(name: string | undefined): 'overlay' | 'vfs' | undefined {
  if (name === undefined || name === 'vfs') return name;
  if (name === 'overlay2' || name === 'overlay') return 'overlay';
  throw invalidParameter(`invalid value for "storage-driver": "${name}": overlay2 and vfs are there`);
}

function rootSizeOf(options: readonly string[]): number | undefined {
  let bytes: number | undefined;
  for (const option of options) {
    const [key = '', value] = option.split(/=(.*)/s);
    if (key === 'overlay2.override_kernel_check') continue;
    if (!['overlay2.size', 'overlay.size', 'size'].includes(key) || value === undefined) {
      throw invalidParameter(`invalid value for "storage-opts": unknown option ${key}`);
    }
    bytes = parseBytes(value);
    if (bytes <= 0) throw invalidParameter(`invalid value for "storage-opts": invalid size: "${value}"`);
  }
  return bytes;
}

function bridgeOf(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  if (/^[A-Za-z0-9_.-]{1,15}$/.test(name) && name !== '.' && name !== '..') return name;
  throw invalidParameter(`invalid value for "bridge": "${name}" is no name of a link`);
}

function bipOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const match = /^([0-9.]+)\/([0-9]{1,2})$/.exec(text);
  const length = Number(match?.[2] ?? 33);
  if (match === null || length > 30 || length < 8 || !isIpv4(match[1] ?? '')) {
    throw invalidParameter(`invalid value for "bip": "${text}": must be an IPv4 address with prefix length`);
  }
  return text;
}

function isIpv4(text: string): boolean {
  const parts = text.split('.');
  return parts.length === 4 && parts.every((part) => /^[0-9]{1,3}$/.test(part) && Number(part) <= 255);
}

function addressOf(text: string): string {
  if (isIpv4(text) || (/^[0-9a-fA-F:]+(%[\w.-]+)?$/.test(text) && text.includes(':'))) return text;
  throw invalidParameter(`invalid value for "dns": ${text} is not an ip address`);
}

function logLevelOf(text: string | undefined): LogLevel {
  if (text === undefined) return 'info';
  const level = logLevels.find((known) => known === text);
  if (level === undefined) throw invalidParameter(`invalid logging level: ${text}`);
  return level;
}

function labelsOf(labels: readonly string[]): readonly string[] {
  const values = new Map<string, string>();
  for (const label of labels) {
    const at = label.indexOf('=');
    if (at <= 0) throw invalidParameter(`bad attribute format: ${label}`);
    const name = label.slice(0, at);
    const before = values.get(name);
    if (before !== undefined && before !== label.slice(at + 1)) {
      throw invalidParameter(`conflict labels for ${name}=${label.slice(at + 1)} and ${name}=${before}`);
    }
    values.set(name, label.slice(at + 1));
  }
  return [...values].map(([name, value]) => `${name}=${value}`);
}

function stopTimeoutOf(seconds: number | undefined): number {
  if (seconds === undefined) return 10;
  if (seconds < -1) throw invalidParameter(`invalid value for "default-stop-timeout": ${seconds}`);
  return seconds;
}
