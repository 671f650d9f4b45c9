/**
 * `RUN --mount=type=cache`: directories that belong to the engine and outlive builds, by their id. They are never part of
 * a layer. `shared` is for any number of steps at once, `locked` for one after the other, `private` for a directory of
 * one's own while another step has the first.
 */
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { conflict, notFound } from '#errdefs/errors.ts';
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
  readonly #sizes = new Map<string, { readonly state: string; readonly bytes: number }>();

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

  /** What steps share, and not one step's own. */
  isShared(id: string, directory: string): boolean {
    return nameOf(id) === directory;
  }

  isUsed(directory: string): boolean {
    return (this.#uses.get(directory)?.count ?? 0) > 0;
  }

  path(directory: string): string {
    return path.join(this.#root, directory);
  }

  /** Of its files; counted again after it was used. */
  async bytes({ directory, lastUsedAt, usageCount }: CacheMount): Promise<number> {
    const state = `${lastUsedAt} ${usageCount}`;
    const known = this.#sizes.get(directory);
    if (known?.state === state && !this.isUsed(directory)) return known.bytes;
    const { treeBytes } = await import('./tree-bytes.ts');
    const bytes = await treeBytes(this.path(directory));
    if (this.isUsed(directory)) this.#sizes.delete(directory);
    else this.#sizes.set(directory, { state, bytes });
    return bytes;
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
    let name = nameOf(id);
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

  /** Where it lies, for as long as it is held: nothing removes or replaces it. Errors: not-found. */
  hold(id: string): { readonly path: string } & Disposable {
    const name = nameOf(id);
    if (decode(name, this.#db.get(KIND, name)) === undefined) throw notFound(`No such cache mount: ${id}`);
    const use = this.#uses.get(name) ?? { count: 0, lock: new Semaphore(1) };
    this.#uses.set(name, use);
    use.count += 1;
    let held = true;
    return {
      path: this.path(name),
      [Symbol.dispose]: () => {
        if (held) use.count -= 1;
        held = false;
      },
    };
  }

  /** Its contents become what `fill` puts into the new directory, whole or not at all. Errors: conflict while it is used. */
  async replace(id: string, fill: (directory: string) => Promise<void>): Promise<CacheMount> {
    const name = nameOf(id);
    const requireUnused = (): void => {
      if (this.isUsed(name)) throw conflict(`cache mount ${id} is in use by a build`);
    };
    requireUnused();
    const fresh = this.path(randomBytes(16).toString('hex'));
    const old = this.path(randomBytes(16).toString('hex'));
    // Without a record: what a crash leaves goes at the next start.
    fs.mkdirSync(fresh, { mode: 0o755 });
    try {
      await fill(fresh);
      requireUnused();
      if (fs.existsSync(this.path(name))) fs.renameSync(this.path(name), old);
      fs.renameSync(fresh, this.path(name));
    } catch (error) {
      await fs.promises.rm(fresh, { recursive: true, force: true });
      throw error;
    }
    const now = this.#now().toISOString();
    const known = decode(name, this.#db.get(KIND, name));
    const record = { id, createdAt: now, lastUsedAt: now, usageCount: known?.usageCount ?? 0 };
    this.#db.put(KIND, name, record);
    await fs.promises.rm(old, { recursive: true, force: true });
    return { ...record, directory: name };
  }

  /** Preconditions: nobody uses it. */
  async remove(directory: string): Promise<void> {
    this.#db.delete(KIND, directory);
    await fs.promises.rm(path.join(this.#root, directory), { recursive: true, force: true });
  }
}

const nameOf = (id: string): string => createHash('sha256').update(id).digest('hex').slice(0, 32);

function decode(directory: string, document: unknown): CacheMount | undefined {
  if (typeof document !== 'object' || document === null || !('id' in document)) return undefined;
  // as: only `#make` writes documents of this kind.
  return { ...(document as Omit<CacheMount, 'directory'>), directory };
}
