/**
 * Full copies that later COPYs of the same may lie over: by what they were copied to and upon. A list beside each says
 * what it has (files/placed-list.ts).
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { GraphDb } from '#graphdb/graphdb.ts';
import type { LayerStore } from '#layer/layer-store.ts';

const KIND = 'build-tree';

export class CopiedTrees {
  readonly #db: GraphDb;
  readonly #root: string;
  readonly #layers: LayerStore;

  constructor(options: { readonly db: GraphDb; readonly root: string; readonly layers: LayerStore }) {
    this.#db = options.db;
    this.#root = options.root;
    this.#layers = options.layers;
    fs.mkdirSync(this.#root, { recursive: true, mode: 0o700 });
  }

  list(snapshot: string): string {
    return path.join(this.#root, snapshot);
  }

  /** The snapshot of the last full copy. */
  find(key: string): string | undefined {
    const document = this.#db.get(KIND, key);
    if (typeof document !== 'object' || document === null || !('snapshot' in document)) return undefined;
    const { snapshot } = document;
    if (typeof snapshot !== 'string') return undefined;
    const isThere = this.#layers.snapshots.get(snapshot)?.retired === false;
    return isThere && fs.existsSync(this.list(snapshot)) ? snapshot : undefined;
  }

  record(key: string, snapshot: string): void {
    const before = this.find(key);
    this.#db.put(KIND, key, { snapshot });
    if (before !== undefined && before !== snapshot) this.drop(before);
  }

  /** The list of one that nothing will lie over. */
  drop(snapshot: string): void {
    fs.rmSync(this.list(snapshot), { force: true });
  }

  /** Lists that are of no use any more: their snapshots are gone, or a build was cut off. */
  sweep(): void {
    const named = new Set<string>();
    for (const { id } of this.#db.list(KIND)) {
      const snapshot = this.find(id);
      if (snapshot === undefined) this.#db.delete(KIND, id);
      else named.add(snapshot);
    }
    for (const name of fs.readdirSync(this.#root)) if (!named.has(name)) this.drop(name);
  }
}
