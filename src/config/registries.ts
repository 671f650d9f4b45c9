/** The keys about registries: how the daemon reaches them. */
import { invalidParameter } from '#errdefs/errors.ts';
import type { ConfigValue } from './values.ts';

export interface RegistryConfig {
  readonly insecureRegistries: readonly string[];
  /** Of Docker Hub; with a scheme. */
  readonly mirrors: readonly string[];
  readonly certificateDirectories: readonly string[];
  readonly proxies: { readonly http: string; readonly https: string; readonly none: readonly string[] };
  readonly downloadsMax: number;
  readonly uploadsMax: number;
  readonly attemptsMax: number;
}

const CERTIFICATE_DIRECTORIES = ['/etc/berth/certs.d', '/etc/docker/certs.d'];

/** Of the start: the daemon takes them out of its environment, and the file may be read again. */
export const startEnvironment: Readonly<Record<string, string | undefined>> = { ...process.env };

/** `env`: proxies that the daemon was started with; the configuration goes before them. Errors: invalid-parameter. */
export function registriesOf(
  values: ReadonlyMap<string, ConfigValue>,
  env: Readonly<Record<string, string | undefined>>,
): RegistryConfig {
  const directories = texts(values, 'registry-certs-dirs');
  for (const directory of directories) {
    if (!directory.startsWith('/')) {
      throw invalidParameter(`invalid value for "registry-certs-dirs": "${directory}" is not an absolute path`);
    }
  }
  return {
    insecureRegistries: texts(values, 'insecure-registries').map(insecureOf),
    mirrors: texts(values, 'registry-mirrors').map(mirrorOf),
    certificateDirectories: directories.length === 0 ? CERTIFICATE_DIRECTORIES : directories,
    proxies: proxiesOf(values, env),
    downloadsMax: positive(values, 'max-concurrent-downloads', 3),
    uploadsMax: positive(values, 'max-concurrent-uploads', 5),
    attemptsMax: positive(values, 'max-download-attempts', 5),
  };
}

/** dockerd's words. */
function mirrorOf(text: string): string {
  const refuse = (why: string) => invalidParameter(`invalid mirror: ${why}`);
  if (!URL.canParse(text)) throw refuse(`"${text}" is not a valid URI`);
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw refuse(`unsupported scheme "${url.protocol.slice(0, -1)}" in "${text}"`);
  }
  if (url.search !== '' || url.hash !== '') throw refuse(`query or fragment at end of the URI "${text}"`);
  if (url.username !== '' || url.password !== '') throw refuse(`username/password not allowed in URI "${url.origin}"`);
  return text.replace(/\/+$/, '');
}

function insecureOf(text: string): string {
  if (/^https?:\/\//i.test(text)) {
    throw invalidParameter(`insecure registry ${text} should not contain '://'`);
  }
  if (text === '' || /\s/.test(text)) throw invalidParameter(`insecure registry "${text}" is not valid`);
  return text;
}

function proxiesOf(
  values: ReadonlyMap<string, ConfigValue>,
  env: Readonly<Record<string, string | undefined>>,
): RegistryConfig['proxies'] {
  const proxies = values.get('proxies');
  const object: Readonly<Record<string, unknown>> =
    // as: a list is none of this key's values.
    typeof proxies === 'object' && !Array.isArray(proxies) ? (proxies as Readonly<Record<string, unknown>>) : {};
  const unknown = Object.keys(object).filter((name) => !/^(?:http|https|no)-proxy$/.test(name));
  if (unknown.length > 0) throw invalidParameter(`invalid value for "proxies": unknown ${unknown.join(', ')}`);
  const pick = (name: 'http-proxy' | 'https-proxy' | 'no-proxy'): string => {
    const given = values.get(name) ?? object[name];
    if (given !== undefined && typeof given !== 'string') throw invalidParameter(`invalid value for "${name}"`);
    const variable = name.replace('-', '_');
    return given ?? env[variable.toUpperCase()] ?? env[variable] ?? '';
  };
  const none = pick('no-proxy').split(',');
  return {
    http: pick('http-proxy'),
    https: pick('https-proxy'),
    none: none.map((n) => n.trim()).filter((n) => n !== ''),
  };
}

function texts(values: ReadonlyMap<string, ConfigValue>, name: string): string[] {
  const value = values.get(name);
  return Array.isArray(value) ? value.map(String) : [];
}

function positive(values: ReadonlyMap<string, ConfigValue>, name: string, fallback: number): number {
  const value = values.get(name);
  if (value === undefined || value === 0) return fallback;
  if (typeof value !== 'number' || value < 0)
    throw invalidParameter(`invalid ${name.replaceAll('-', ' ')}: ${JSON.stringify(value)}`);
  return value;
}
