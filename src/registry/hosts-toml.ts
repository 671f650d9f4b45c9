/**
 * `hosts.toml` of a registry (containerd's format): which servers stand for it, in which order, for what.
 *
 *   server = "https://registry.example"
 *   [host."https://mirror.local:5000"]
 *     capabilities = ["pull", "resolve"]
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';

export type Capability = 'pull' | 'resolve' | 'push';
const CAPABILITIES: readonly Capability[] = ['pull', 'resolve', 'push'];

export interface HostEntry {
  /** `https://mirror.local:5000`, with a path where it has one. */
  readonly url: string;
  readonly capabilities: readonly Capability[];
  /** Files. */
  readonly ca: readonly string[];
  readonly client: readonly (readonly [cert: string, key: string])[];
  readonly skipVerify: boolean;
  /** The path is the whole of it: nothing like `/v2` is appended. */
  readonly overridePath: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

export interface HostsFile {
  readonly hosts: readonly HostEntry[];
  /** The registry itself, tried last; undefined when the file does not say. */
  readonly server: HostEntry | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

const FILE_BYTES_MAX = 1 << 20;

/** Errors: invalid-parameter naming the file. */
export function readHostsFile(file: string): HostsFile | undefined {
  let text: string;
  try {
    if (fs.statSync(file).size > FILE_BYTES_MAX) throw invalidParameter(`Cannot read "${file}": it is too long`);
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return parseHosts(text, path.dirname(file));
  } catch (cause) {
    throw invalidParameter(`Cannot read "${file}": ${messageOf(cause)}`, { cause });
  }
}

/** `directory`: what relative file names are below. */
export function parseHosts(text: string, directory: string): HostsFile {
  const document: unknown = Bun.TOML.parse(text);
  const root = fieldsOf(document, 'the file');
  const { server, host, ...rest } = root;
  const hosts: HostEntry[] = [];
  // Go's map has no order, TOML's text has: it is tried from the top down.
  for (const [url, fields] of Object.entries(host === undefined ? {} : fieldsOf(host, 'host'))) {
    hosts.push(entryOf(url, fieldsOf(fields, `host."${url}"`), directory));
  }
  if (server !== undefined && typeof server !== 'string') throw invalidParameter('"server" must be a string');
  return { hosts, server: server === undefined ? undefined : entryOf(server, rest, directory) };
}

function entryOf(given: string, fields: Fields, directory: string): HostEntry {
  const url = /^[a-z]+:\/\//i.test(given) ? given : `https://${given}`;
  const protocol = URL.canParse(url) ? new URL(url).protocol : '';
  if (protocol !== 'https:' && protocol !== 'http:') throw invalidParameter(`"${given}" is no http or https URL`);
  const capabilities = texts(fields, 'capabilities').map((name) => {
    const found = CAPABILITIES.find((known) => known === name);
    if (found === undefined) throw invalidParameter(`unknown capability "${name}"`);
    return found;
  });
  const absolute = (file: string): string => path.resolve(directory, file);
  return {
    url: url.replace(/\/+$/, ''),
    capabilities: capabilities.length === 0 ? CAPABILITIES : capabilities,
    ca: texts(fields, 'ca').map(absolute),
    client: clientPairs(fields['client']).map(([cert, key]) => [absolute(cert), absolute(key)] as const),
    skipVerify: fields['skip_verify'] === true,
    overridePath: fields['override_path'] === true,
    headers: headersOf(fields['header']),
  };
}

/** A file with both, files with both, or pairs of certificate and key. */
function clientPairs(value: unknown): readonly (readonly [string, string])[] {
  if (value === undefined) return [];
  if (typeof value === 'string') return [[value, value]];
  if (!Array.isArray(value)) throw invalidParameter('"client" must be a string or a list');
  return value.map((entry: unknown) => {
    if (typeof entry === 'string') return [entry, entry] as const;
    if (Array.isArray(entry) && typeof entry[0] === 'string') {
      return [entry[0], typeof entry[1] === 'string' && entry[1] !== '' ? entry[1] : entry[0]] as const;
    }
    throw invalidParameter('"client" must have strings or pairs of strings');
  });
}

function headersOf(value: unknown): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, given] of Object.entries(value === undefined ? {} : fieldsOf(value, 'header'))) {
    const list: readonly unknown[] = Array.isArray(given) ? given : [given];
    headers[name] = list.map(String).join(', ');
  }
  return headers;
}

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    // as: every object has string keys with unknown values.
    return value as Fields;
  }
  throw invalidParameter(`${what} must be a table`);
}

function texts(fields: Fields, key: string): string[] {
  const value = fields[key];
  if (value === undefined) return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.map((entry) => {
    if (typeof entry !== 'string') throw invalidParameter(`"${key}" must be strings`);
    return entry;
  });
}
