/**
 * Contexts: named daemons, in docker's store (`contexts/meta/<sha256 of the name>/meta.json` and `contexts/tls/…` below
 * the configuration directory), so that both clients see the same ones. `default` is no entry: it is what flags and
 * variables say.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { TlsMaterial } from '#api/client/address.ts';
import { writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';
import { isJson } from '../config-file/config-file.ts';
import { DEFAULT_CONTEXT } from './default-context.ts';

export interface Context {
  readonly name: string;
  readonly description: string;
  readonly host: string;
  readonly skipTlsVerify: boolean;
  /** meta.json as it is, for what we do not know. */
  readonly meta: Readonly<Record<string, unknown>>;
}

export interface TlsFiles {
  readonly ca?: Uint8Array;
  readonly cert?: Uint8Array;
  readonly key?: Uint8Array;
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$/;
const TLS_NAMES = { ca: 'ca.pem', cert: 'cert.pem', key: 'key.pem' } as const;
const MODE_DIRECTORY = 0o755;
const MODE_SECRET = 0o600;

/** What is there, with its file's name. */
export function tlsFiles(tls: TlsFiles): readonly (readonly [file: string, bytes: Uint8Array])[] {
  const all = [[TLS_NAMES.ca, tls.ca] as const, [TLS_NAMES.cert, tls.cert] as const, [TLS_NAMES.key, tls.key] as const];
  return all.flatMap(([file, bytes]) => (bytes === undefined ? [] : [[file, bytes] as const]));
}

export class ContextStore {
  readonly #root: string;

  constructor(configDirectory: string) {
    this.#root = path.join(configDirectory, 'contexts');
  }

  /** By name; without `default`. Entries that cannot be read are left out. */
  list(): Context[] {
    const folder = path.join(this.#root, 'meta');
    const ids = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
    return ids
      .map((id) => this.#readMeta(path.join(folder, id, 'meta.json')))
      .filter((context) => context !== undefined)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  find(name: string): Context | undefined {
    return this.#readMeta(path.join(this.metaPath(name), 'meta.json'));
  }

  /** @throws in docker's words when there is none of this name */
  get(name: string): Context {
    const found = this.find(name);
    if (found === undefined)
      throw new Error(
        `context "${name}": context not found: open ${this.metaPath(name)}/meta.json: no such file or directory`,
      );
    return found;
  }

  /** Writes or replaces; TLS files only when given. */
  put(context: Omit<Context, 'meta'> & { readonly meta?: Context['meta'] }, tls?: TlsFiles): void {
    checkContextName(context.name);
    const meta = encodeMeta(context);
    const folder = this.metaPath(context.name);
    fs.mkdirSync(folder, { recursive: true, mode: MODE_DIRECTORY });
    if (tls !== undefined) this.#putTls(context.name, tls);
    writeFileAtomic(path.join(folder, 'meta.json'), JSON.stringify(meta), { mode: 0o644 });
  }

  remove(name: string): void {
    this.get(name);
    fs.rmSync(this.metaPath(name), { recursive: true });
    fs.rmSync(this.tlsPath(name), { recursive: true, force: true });
  }

  tls(name: string): TlsFiles {
    const read = (file: string) => {
      const full = path.join(this.tlsPath(name), 'docker', file);
      return fs.existsSync(full) ? fs.readFileSync(full) : undefined;
    };
    const [ca, cert, key] = [read(TLS_NAMES.ca), read(TLS_NAMES.cert), read(TLS_NAMES.key)];
    return {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
  }

  /** How its daemon is to be trusted; undefined: no TLS. */
  tlsMaterial(context: Context): TlsMaterial | undefined {
    const files = this.tls(context.name);
    if (Object.keys(files).length === 0 && !context.skipTlsVerify) return undefined;
    const text = Object.fromEntries(
      tlsFiles(files).map(([file, bytes]) => [file.slice(0, -'.pem'.length), Buffer.from(bytes).toString()]),
    );
    return { ...text, verify: !context.skipTlsVerify };
  }

  metaPath(name: string): string {
    return path.join(this.#root, 'meta', idOf(name));
  }

  tlsPath(name: string): string {
    return path.join(this.#root, 'tls', idOf(name));
  }

  #putTls(name: string, tls: TlsFiles): void {
    const folder = path.join(this.tlsPath(name), 'docker');
    fs.rmSync(folder, { recursive: true, force: true });
    for (const [file, bytes] of tlsFiles(tls)) {
      fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
      writeFileAtomic(path.join(folder, file), bytes, { mode: MODE_SECRET });
    }
  }

  #readMeta(file: string): Context | undefined {
    if (!fs.existsSync(file)) return undefined;
    const meta: unknown = JSON.parse(fs.readFileSync(file, 'utf8'));
    return isJson(meta) ? decodeMeta(meta) : undefined;
  }
}

/** @throws in docker's words */
export function checkContextName(name: string): void {
  if (name === '') throw new Error('context name cannot be empty');
  if (name === DEFAULT_CONTEXT) throw new Error('"default" is a reserved context name');
  if (!NAME.test(name)) {
    throw new Error(`context name "${name}" is invalid, names are validated against regexp "${NAME.source}"`);
  }
}

function idOf(name: string): string {
  return new Bun.CryptoHasher('sha256').update(name).digest('hex');
}

/** The endpoint and description of a meta.json. */
export function decodeMeta(meta: Readonly<Record<string, unknown>>): Context | undefined {
  const { Name, Metadata, Endpoints } = meta;
  if (typeof Name !== 'string') return undefined;
  const docker = isJson(Endpoints) && isJson(Endpoints['docker']) ? Endpoints['docker'] : {};
  const description = isJson(Metadata) ? Metadata['Description'] : undefined;
  return {
    name: Name,
    description: typeof description === 'string' ? description : '',
    host: typeof docker['Host'] === 'string' ? docker['Host'] : '',
    skipTlsVerify: docker['SkipTLSVerify'] === true,
    meta,
  };
}

export function encodeMeta(context: Omit<Context, 'meta'> & { readonly meta?: Context['meta'] }): Context['meta'] {
  const { name, description, host, skipTlsVerify, meta = {} } = context;
  const known = isJson(meta['Metadata']) ? { ...meta['Metadata'] } : {};
  const metadata = description === '' ? known : { ...known, Description: description };
  const others = isJson(meta['Endpoints']) ? meta['Endpoints'] : {};
  return {
    ...meta,
    Name: name,
    Metadata: metadata,
    Endpoints: { ...others, docker: { ...(host === '' ? {} : { Host: host }), SkipTLSVerify: skipTlsVerify } },
  };
}
