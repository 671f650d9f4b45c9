/** Files of stopped containers. Several views of one container at a time share what was put together. */
import type { LayerMount } from '#graphdriver/driver.ts';
import { KeyedQueue } from '#pkg/keyed-queue/keyed-queue.ts';
import type { OwnedFd } from '#sys/files.ts';
import type { FileLeases } from './leases.ts';

export interface FileAccess {
  readonly leases: FileLeases;
  readonly stopped: StoppedTrees;
}

export type ViewKind =
  /** With all mounts. */
  | 'whole'
  /** The root file system alone. */
  | 'root';

export interface Root extends AsyncDisposable {
  readonly fd: number;
}

/** The layer with its mounts; what else was made for it goes with it. */
export interface WholeTree extends AsyncDisposable {
  readonly tree: OwnedFd;
}

interface StoppedTree {
  readonly layer: LayerMount;
  /** Made when first asked for, after which the layer's mount can be read but not attached. */
  whole: WholeTree | undefined;
  users: number;
}

export interface TreeParts {
  readonly layer: () => LayerMount;
  /** Undefined when there is nothing to mount. */
  readonly whole: (layer: number) => Promise<WholeTree | undefined>;
}

export class StoppedTrees {
  readonly #open = new Map<string, StoppedTree>();
  readonly #queue = new KeyedQueue();

  /** The descriptor is shared: only dispose of it. */
  open(id: string, kind: ViewKind, parts: TreeParts): Promise<Root> {
    return this.#queue.run(id, async () => {
      const tree = this.#open.get(id) ?? { layer: parts.layer(), whole: undefined, users: 0 };
      this.#open.set(id, tree);
      tree.users += 1;
      try {
        if (kind === 'whole') tree.whole ??= await parts.whole(tree.layer.fd);
      } catch (error) {
        await this.#letGo(id, tree);
        throw error;
      }
      return {
        fd: kind === 'root' ? tree.layer.fd : (tree.whole?.tree.fd ?? tree.layer.fd),
        [Symbol.asyncDispose]: () => this.#queue.run(id, () => this.#letGo(id, tree)),
      };
    });
  }

  async #letGo(id: string, tree: StoppedTree): Promise<void> {
    tree.users -= 1;
    if (tree.users > 0) return;
    this.#open.delete(id);
    tree.layer[Symbol.dispose]();
    await tree.whole?.[Symbol.asyncDispose]();
  }
}
