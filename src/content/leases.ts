/**
 * Leases: what is on its way into the store (a pull, a push, a build) and that nothing recorded leads to yet. A lease is
 * a file beside the blobs, `leases/<name>`: its first line says what it is for, every further line is a digest.
 *
 * A lease ends with whoever holds it, and with the daemon's start; one with a key outlives both until it is done or its
 * time is over, so that a pull that broke off finds what it has got already.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { isBlobDigest } from './digest.ts';

const FILE_BYTES_MAX = 4 << 20;

export interface LeaseOptions {
  /** For people: `pull docker.io/library/busybox:latest`. */
  readonly purpose: string;
  /** Makes it resumable: whoever asks for a lease of the same key goes on with it. */
  readonly key?: string | undefined;
  /** How long a lease with a key is kept when nobody holds it. */
  readonly keepMs?: number | undefined;
}

export interface ContentLease extends Disposable {
  /** From now on the blob, or what has come of it, is not collected. */
  add(digest: string): void;
  /** What it names, also from before a restart. */
  digests(): readonly string[];
  /** The work is finished: a lease with a key ends too when it is disposed. */
  done(): void;
}

interface Held {
  readonly file: string;
  readonly digests: Set<string>;
  readonly key: string | undefined;
  readonly keepMs: number;
  holders: number;
  done: boolean;
  /** Only counts without holders. */
  expiresMs: number;
}

const KEEP_MS = 24 * 3600 * 1000;

export class Leases {
  readonly #directory: string;
  readonly #now: () => number;
  readonly #held = new Map<string, Held>();

  private constructor(directory: string, now: () => number) {
    this.#directory = directory;
    this.#now = now;
  }

  static open(directory: string, now: () => number): Leases {
    const leases = new Leases(directory, now);
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const name of fs.readdirSync(directory)) leases.#revive(name);
    return leases;
  }

  take(options: LeaseOptions): ContentLease {
    const name =
      options.key === undefined
        ? randomBytes(8).toString('hex')
        : createHash('sha256').update(options.key).digest('hex').slice(0, 32);
    let held = this.#held.get(name);
    if (held === undefined) {
      const keepMs = options.keepMs ?? KEEP_MS;
      held = {
        file: path.join(this.#directory, name),
        digests: new Set(),
        key: options.key,
        keepMs,
        holders: 0,
        done: false,
        expiresMs: 0,
      };
      this.#held.set(name, held);
      const head = { purpose: options.purpose, ...(options.key === undefined ? {} : { key: options.key, keepMs }) };
      fs.writeFileSync(held.file, `${JSON.stringify(head)}\n`, { mode: 0o600, flag: 'wx' });
    }
    return this.#lend(name, held);
  }

  /** Every digest that a lease names. */
  mark(mark: (digest: string) => void): void {
    for (const [name, held] of this.#held) {
      if (held.holders === 0 && held.expiresMs <= this.#now()) this.#end(name, held);
      else for (const digest of held.digests) mark(digest);
    }
  }

  #lend(name: string, held: Held): ContentLease {
    held.holders += 1;
    held.done = false;
    let mine = true;
    return {
      add: (digest) => {
        if (held.digests.has(digest)) return;
        held.digests.add(digest);
        // Not synced: after a power failure the worst is that something is fetched again.
        fs.appendFileSync(held.file, `${digest}\n`);
      },
      digests: () => [...held.digests],
      done: () => {
        held.done = true;
      },
      [Symbol.dispose]: () => {
        if (!mine) return;
        mine = false;
        held.holders -= 1;
        if (held.holders > 0) return;
        if (held.key === undefined || held.done) this.#end(name, held);
        else held.expiresMs = this.#now() + held.keepMs;
      },
    };
  }

  #end(name: string, held: Held): void {
    this.#held.delete(name);
    fs.rmSync(held.file, { force: true });
  }

  /** Of the daemon before this one. */
  #revive(name: string): void {
    const file = path.join(this.#directory, name);
    try {
      const { size, mtimeMs } = fs.statSync(file);
      const [head = '', ...lines] = size > FILE_BYTES_MAX ? [] : fs.readFileSync(file, 'utf8').split('\n');
      const { key, keepMs } = headOf(head);
      if (key !== undefined && mtimeMs + keepMs > this.#now()) {
        // A line that a crash has cut short is no digest.
        const digests = new Set(lines.filter(isBlobDigest));
        this.#held.set(name, { file, digests, key, keepMs, holders: 0, done: false, expiresMs: mtimeMs + keepMs });
        return;
      }
    } catch (error) {
      log.warn('a lease of the content store cannot be read', { lease: name, err: messageOf(error) });
    }
    fs.rmSync(file, { force: true, recursive: true });
  }
}

function headOf(line: string): { key: string | undefined; keepMs: number } {
  try {
    const head: unknown = JSON.parse(line);
    if (typeof head === 'object' && head !== null && 'key' in head && 'keepMs' in head) {
      if (typeof head.key === 'string' && typeof head.keepMs === 'number')
        return { key: head.key, keepMs: head.keepMs };
    }
  } catch {
    // Cut short by a crash: nothing is known of it, so it ends.
  }
  return { key: undefined, keepMs: 0 };
}
