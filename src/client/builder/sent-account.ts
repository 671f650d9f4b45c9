/**
 * What this client has sent of a context, so that the next build sends what has changed. A file that looks the same
 * (device, inode, size, times, mode) is not opened; one that looks different is hashed, and its content sent only if
 * that differs. What the daemon has is called by a generation: when it has another one, everything is sent.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ByteString } from '#pkg/archive/entry.ts';

/** Digits of a hash that are kept: 128 bits, by and for this client alone. */
export const HASH_DIGITS = 32;
const ACCOUNTS_MAX = 64;

export interface SentFile {
  /** How it looked; '' when it may have changed unseen since. */
  readonly looks: string;
  /** Mode and time as they were sent. */
  readonly meta: string;
  /** Of a file's content. */
  readonly hash: string;
}

export interface Account {
  readonly key: string;
  readonly generation: string;
  readonly files: ReadonlyMap<ByteString, SentFile>;
}

export class Accounts {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** `$XDG_CACHE_HOME/berth`; undefined where there is no home. */
  static of(environment: Readonly<Record<string, string | undefined>>): Accounts | undefined {
    const cache = environment['XDG_CACHE_HOME'] ?? '';
    const home = environment['HOME'] ?? '';
    if (path.isAbsolute(cache)) return new Accounts(path.join(cache, 'berth', 'contexts'));
    return path.isAbsolute(home) ? new Accounts(path.join(home, '.cache', 'berth', 'contexts')) : undefined;
  }

  /** The same for the same client, daemon and directories. Undefined when nothing can be written here. */
  key(daemon: string, directories: readonly string[]): string | undefined {
    const id = this.#clientId();
    if (id === undefined) return undefined;
    return createHash('sha256')
      .update(JSON.stringify([id, daemon, directories]))
      .digest('hex');
  }

  read(key: string): Account | undefined {
    let text: string;
    try {
      text = fs.readFileSync(this.#file(key), 'utf8');
    } catch {
      return undefined;
    }
    try {
      return decode(key, JSON.parse(text));
    } catch {
      // Damaged: as if nothing had been sent.
      return undefined;
    }
  }

  /** An account that cannot be written costs the next build time, not this one its result. */
  write({ key, generation, files }: Account): void {
    const rows = [...files].map(([name, { looks, meta, hash }]) => [name, looks, meta, hash]);
    const temporary = `${this.#file(key)}.${process.pid}`;
    try {
      fs.writeFileSync(temporary, JSON.stringify({ generation, rows }), { mode: 0o600 });
      fs.renameSync(temporary, this.#file(key));
      this.#forgetOldest();
    } catch {
      fs.rmSync(temporary, { force: true });
    }
  }

  #forgetOldest(): void {
    const accounts = fs.readdirSync(this.#root).filter((name) => name !== 'client-id');
    if (accounts.length <= ACCOUNTS_MAX) return;
    const files = accounts.map((name) => path.join(this.#root, name));
    files.sort((a, b) => fs.statSync(a).mtimeMs - fs.statSync(b).mtimeMs);
    for (const file of files.slice(0, -ACCOUNTS_MAX)) fs.rmSync(file, { force: true });
  }

  #clientId(): string | undefined {
    const file = path.join(this.#root, 'client-id');
    try {
      fs.mkdirSync(this.#root, { recursive: true, mode: 0o700 });
      if (!fs.existsSync(file)) fs.writeFileSync(file, randomBytes(16).toString('hex'), { mode: 0o600, flag: 'wx' });
      return fs.readFileSync(file, 'utf8');
    } catch {
      return undefined;
    }
  }

  #file(key: string): string {
    return path.join(this.#root, `${key}.json`);
  }
}

function decode(key: string, document: unknown): Account | undefined {
  if (typeof document !== 'object' || document === null || !('generation' in document) || !('rows' in document)) {
    return undefined;
  }
  const { generation, rows } = document;
  if (typeof generation !== 'string' || !Array.isArray(rows)) return undefined;
  const files = new Map<ByteString, SentFile>();
  for (const row of rows) {
    if (!Array.isArray(row)) return undefined;
    // as: what is in it is looked at on the next lines.
    const [name, looks, meta, hash] = row as readonly unknown[];
    if (typeof name !== 'string' || typeof looks !== 'string' || typeof meta !== 'string' || typeof hash !== 'string') {
      return undefined;
    }
    files.set(name, { looks, meta, hash });
  }
  return { key, generation, files };
}
