/**
 * `RUN --mount=type=cache`: directories that belong to the engine and outlive builds, by their id. They are never part of
 * a layer. `shared` is for any number of steps at once, `locked` for one after the other, `private` for a directory of
 * one's own while another step has the first.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { GraphDb } from '#graphdb/graphdb.ts';
import { Semaphore } from './semaphore.ts';

const KIND = 'build-cache-mount';

export interface CacheMount {
  /** Name of its directory. */
  readonly directory: string;
  readonly id: string;
  readonly createdAt: string;
  readonly lastUsedAt: string;
  readonly usageCount: number;
}

export interface OpenedCacheMount extends Disposable {
  readonly path: string;
  /** It was made just now: fill it from its source. */
  readonly fresh: boolean;
}

interface Use {
  count: number;
  readonly lock: Semaphore;
}

export class CacheMounts {
  readonly #db: GraphDb;
  readonly #root: string;
  readonly #now: () => Date;
  readonly #uses = new Map<string, Use>();

  constructor(options: { readonly db: GraphDb; readonly root: string; readonly now: () => Date }) {
    this.#db = options.db;
    this.#root = options.root;
    this.#now = options.now;
    fs.mkdirSync(this.#root, { recursive: true, mode: 0o700 });
    // Directories without a record are of a creation that a crash cut off.
    const known = new Set(this.list().map(({ directory }) => directory));
    for (const name of fs.readdirSync(this.#root)) {
      if (!known.has(name)) fs.rmSync(path.join(this.#root, name), { recursive: true, force: true });
    }
  }

  list(): CacheMount[] {
    return this.#db.list(KIND).flatMap(({ id, document }) => decode(id, document) ?? []);
  }

  isUsed(directory: string): boolean {
    return (this.#uses.get(directory)?.count ?? 0) > 0;
  }

  path(directory: string): string {
    return path.join(this.#root, directory);
  }

  /** Errors: the signal's reason while it waits for a locked one. */
  async open(
    id: string,
    options: {
      readonly sharing: 'shared' | 'private' | 'locked';
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      readonly signal: AbortSignal;
    },
  ): Promise<OpenedCacheMount> {
    let name = createHash('sha256').update(id).digest('hex').slice(0, 32);
    if (options.sharing === 'private') {
      const own = this.list().filter((mount) => mount.id === id && !this.isUsed(mount.directory));
      if (this.isUsed(name)) name = own[0]?.directory ?? randomBytes(16).toString('hex');
    }
    const use = this.#uses.get(name) ?? { count: 0, lock: new Semaphore(1) };
    this.#uses.set(name, use);
    use.count += 1;
    let lock: Disposable | undefined;
    try {
      if (options.sharing === 'locked') lock = await use.lock.acquire(options.signal);
      const fresh = this.#make(name, id, options);
      return {
        path: path.join(this.#root, name),
        fresh,
        [Symbol.dispose]: () => {
          use.count -= 1;
          lock?.[Symbol.dispose]();
        },
      };
    } catch (error) {
      use.count -= 1;
      lock?.[Symbol.dispose]();
      throw error;
    }
  }

  #make(
    name: string,
    id: string,
    owner: { readonly mode: number; readonly uid: number; readonly gid: number },
  ): boolean {
    const directory = path.join(this.#root, name);
    const known = decode(name, this.#db.get(KIND, name));
    const now = this.#now().toISOString();
    const fresh = known === undefined || !fs.existsSync(directory);
    if (fresh) {
      fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
      fs.chownSync(directory, owner.uid, owner.gid);
      fs.chmodSync(directory, owner.mode);
    }
    const record = {
      id,
      createdAt: known?.createdAt ?? now,
      lastUsedAt: now,
      usageCount: (known?.usageCount ?? 0) + 1,
    };
    this.#db.put(KIND, name, record);
    return fresh;
  }

  /** Preconditions: nobody uses it. */
  async remove(directory: string): Promise<void> {
    this.#db.delete(KIND, directory);
    await fs.promises.rm(path.join(this.#root, directory), { recursive: true, force: true });
  }
}

function decode(directory: string, document: unknown): CacheMount | undefined {
  if (typeof document !== 'object' || document === null || !('id' in document)) return undefined;
  // as: only `#make` writes documents of this kind.
  return { ...(document as Omit<CacheMount, 'directory'>), directory };
}
