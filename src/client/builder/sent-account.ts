/**
 * What this client has sent of a context, so that the next build sends what has changed. A file that looks the same
 * (device, inode, size, times, mode) is not opened; one that looks different is hashed, and its content sent only if
 * that differs. What the daemon has is called by a generation: when it has another one, everything is sent.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ByteString } from '#pkg/archive/entry.ts';
import type { ListedLooks } from '#pkg/archive/list-tree.ts';

/** Of a hash, by and for this client alone. */
export const HASH_BYTES = 16;
const META_BYTES = 12;
const ACCOUNTS_MAX = 64;

export interface SentFile {
  /** How it looked; '' when it may have changed unseen since. */
  readonly looks: string;
  /** Mode and time as they were sent (`metaOf`). */
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
    return new Bun.CryptoHasher('sha256').update(JSON.stringify([id, daemon, directories])).digest('hex');
  }

  read(key: string): Account | undefined {
    try {
      return decode(key, fs.readFileSync(this.#file(key)));
    } catch {
      // Not there, or damaged: as if nothing had been sent.
      return undefined;
    }
  }

  /** An account that cannot be written costs the next build time, not this one its result. */
  write(account: Account): void {
    const { key } = account;
    const temporary = `${this.#file(key)}.${process.pid}`;
    try {
      fs.writeFileSync(temporary, encode(account), { mode: 0o600 });
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
      if (!fs.existsSync(file))
        fs.writeFileSync(file, crypto.getRandomValues(Buffer.alloc(16)).toString('hex'), { mode: 0o600, flag: 'wx' });
      return fs.readFileSync(file, 'utf8');
    } catch {
      return undefined;
    }
  }

  #file(key: string): string {
    return path.join(this.#root, `${key}.sent`);
  }
}

const metaBytes = Buffer.alloc(META_BYTES);

/** What of a file's looks is sent, as bytes. */
export function metaOf({ mode, mtimeSeconds }: Pick<ListedLooks, 'mode' | 'mtimeSeconds'>): string {
  metaBytes.writeUInt32LE(mode, 0);
  metaBytes.writeDoubleLE(mtimeSeconds, 4);
  return metaBytes.toString('latin1');
}

/**
 * Tens of thousands of files are read and written with every build: a line that names the form and the generation, then
 * for each file four lengths and the texts that have them, a character a byte. JSON takes ten times as long.
 */
const FORM = 'berth sent 2 ';
const LENGTHS_BYTES = 7;

function encode({ generation, files }: Account): Buffer {
  const head = `${FORM}${generation}\n`;
  let size = head.length;
  for (const [path, { looks, meta, hash }] of files) {
    size += LENGTHS_BYTES + path.length + looks.length + meta.length + hash.length;
  }
  const bytes = Buffer.allocUnsafe(size);
  let at = bytes.write(head, 'latin1');
  for (const [path, { looks, meta, hash }] of files) {
    bytes.writeUInt32LE(path.length, at);
    bytes[at + 4] = looks.length;
    bytes[at + 5] = meta.length;
    bytes[at + 6] = hash.length;
    at += LENGTHS_BYTES;
    for (const text of [path, looks, meta, hash]) at += bytes.write(text, at, 'latin1');
  }
  return bytes;
}

function decode(key: string, bytes: Buffer): Account | undefined {
  const end = bytes.indexOf('\n');
  const head = bytes.toString('latin1', 0, Math.max(0, end));
  if (!head.startsWith(FORM)) return undefined;
  const files = new Map<ByteString, SentFile>();
  for (let at = end + 1; at < bytes.length; ) {
    const path = at + LENGTHS_BYTES;
    const looks = path + bytes.readUInt32LE(at);
    const meta = looks + (bytes[at + 4] ?? 0);
    const hash = meta + (bytes[at + 5] ?? 0);
    at = hash + (bytes[at + 6] ?? 0);
    // Cut off in the middle.
    if (at > bytes.length) return undefined;
    files.set(bytes.toString('latin1', path, looks), {
      looks: bytes.toString('latin1', looks, meta),
      meta: bytes.toString('latin1', meta, hash),
      hash: bytes.toString('latin1', hash, at),
    });
  }
  return { key, generation: head.slice(FORM.length), files };
}
