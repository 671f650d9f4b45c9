/**
 * Where plugins of the legacy protocol announce themselves: sockets below /run/docker/plugins, and files that name an
 * address (`.spec`) or an address with TLS (`.json`) in /etc/docker/plugins and /usr/lib/docker/plugins. A name is looked
 * up at each use and nothing is watched: a plugin that comes back with another address is found.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { invalidParameter, notFound } from '#errdefs/errors.ts';

export interface PluginAddress {
  readonly name: string;
  /** 'unix:///run/docker/plugins/x.sock', 'tcp://host:port', 'http://…', 'https://…'. */
  readonly address: string;
  readonly tls: PluginTls | undefined;
}

export interface PluginTls {
  readonly skipVerify: boolean;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface PluginDirectories {
  readonly sockets: readonly string[];
  readonly specs: readonly string[];
}

export const PLUGIN_DIRECTORIES: PluginDirectories = {
  sockets: ['/run/docker/plugins'],
  specs: ['/etc/docker/plugins', '/usr/lib/docker/plugins'],
};

const SPEC_BYTES_MAX = 64 * 1024;
const schemes = ['unix:', 'tcp:', 'http:', 'https:'];
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** Errors: not-found `plugin "X" not found`; invalid-parameter for a file that says no address. */
export function findPlugin(name: string, directories: PluginDirectories = PLUGIN_DIRECTORIES): PluginAddress {
  // A name becomes part of a path.
  if (!namePattern.test(name)) throw notFound(`plugin "${name}" not found`);
  for (const directory of directories.sockets) {
    for (const place of [`${name}.sock`, path.join(name, `${name}.sock`)]) {
      const socket = path.join(directory, place);
      if (isSocket(socket)) return { name, address: `unix://${socket}`, tls: undefined };
    }
  }
  for (const directory of directories.specs) {
    for (const place of [name, path.join(name, name)]) {
      const spec = readSmall(path.join(directory, `${place}.spec`));
      if (spec !== undefined) return { name, address: checkAddress(name, spec.trim()), tls: undefined };
      const json = readSmall(path.join(directory, `${place}.json`));
      if (json !== undefined) return decodeJson(name, json);
    }
  }
  throw notFound(`plugin "${name}" not found`);
}

/** Names of all that announce themselves now. */
export function pluginNames(directories: PluginDirectories = PLUGIN_DIRECTORIES): string[] {
  const names = new Set<string>();
  const look = (list: readonly string[], endings: readonly string[]): void => {
    for (const directory of list) {
      for (const entry of entriesOf(directory)) {
        const ending = endings.find((one) => entry.name.endsWith(one));
        if (ending !== undefined) names.add(entry.name.slice(0, -ending.length));
        else if (entry.isDirectory() && endings.some((one) => has(directory, entry.name, one))) names.add(entry.name);
      }
    }
  };
  look(directories.sockets, ['.sock']);
  look(directories.specs, ['.spec', '.json']);
  return [...names].filter((name) => namePattern.test(name)).sort();
}

function has(directory: string, name: string, ending: string): boolean {
  return fs.existsSync(path.join(directory, name, name + ending));
}

function entriesOf(directory: string): fs.Dirent[] {
  try {
    return fs.readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
}

function isSocket(file: string): boolean {
  return fs.statSync(file, { throwIfNoEntry: false })?.isSocket() === true;
}

function readSmall(file: string): string | undefined {
  const status = fs.statSync(file, { throwIfNoEntry: false });
  if (status === undefined) return undefined;
  if (!status.isFile() || status.size > SPEC_BYTES_MAX) throw invalidParameter(`Cannot read plugin file "${file}"`);
  return fs.readFileSync(file, 'utf8');
}

function checkAddress(name: string, address: string): string {
  if (URL.canParse(address) && schemes.includes(new URL(address).protocol)) return address;
  throw invalidParameter(`plugin "${name}" has no valid address: "${address.slice(0, 200)}"`);
}

function decodeJson(name: string, text: string): PluginAddress {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalidParameter(`plugin "${name}": its file is no JSON`, { cause });
  }
  const field = (from: unknown, key: string): unknown =>
    typeof from === 'object' && from !== null ? Reflect.get(from, key) : undefined;
  const word = (from: unknown, key: string): string => {
    const found = field(from, key);
    return typeof found === 'string' ? found : '';
  };
  const config = field(value, 'TLSConfig');
  const tls =
    typeof config === 'object' && config !== null
      ? {
          skipVerify: field(config, 'InsecureSkipVerify') === true,
          caFile: word(config, 'CAFile'),
          certFile: word(config, 'CertFile'),
          keyFile: word(config, 'KeyFile'),
        }
      : undefined;
  return { name, address: checkAddress(name, word(value, 'Addr')), tls };
}
