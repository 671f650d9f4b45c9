/**
 * `rmi`, with Docker's rules: a name is taken away first; the image goes with its last name unless something needs it.
 * Layers and blobs that nothing needs any more go through `collect`, which the graph gives.
 */
import type { ImageDeleteItem } from '#api/types/image.ts';
import type { Platform } from '#content/descriptor.ts';
import { type BerthError, conflict } from '#errdefs/errors.ts';
import {
  canonicalName,
  canonicalString,
  familiarString,
  parseReference,
  type Reference,
  withDefaultTag,
} from '#reference/reference.ts';
import type { Image } from './image.ts';
import type { ImageStore } from './image-store.ts';
import { bestPlatform, hostPlatform } from './platform.ts';
import { imagesOf, namedVariants, targetOf } from './variants.ts';

/** A container made from an image. */
export interface ImageUser {
  readonly id: string;
  readonly running: boolean;
}

export interface RemoveInput {
  readonly image: string;
  readonly force: boolean;
  /** Keep untagged parents. */
  readonly noprune: boolean;
  /** Only these of a name with several; the others and the name stay. */
  readonly platforms?: readonly Platform[];
  readonly containersUsing: (imageId: string) => readonly ImageUser[];
  /** Removes what nothing needs; the ChainIds of removed layers, topmost first. */
  readonly collect: () => Promise<string[]>;
  /** Those stay, whoever forces. */
  readonly isLocked?: (imageId: string) => boolean;
  /** An image is about to go, with these names (canonical): for whoever may bring it back. */
  readonly discard?: (image: Image, names: readonly DiscardedName[]) => void;
  /** For events. */
  readonly onUntag?: (imageId: string, name: string) => void;
  readonly onDelete?: (imageId: string) => void;
}

export interface DiscardedName {
  readonly name: string;
  readonly target: string | null;
}

/** Errors: not-found; conflict in dockerd's words. */
export async function removeImage(store: ImageStore, input: RemoveInput): Promise<ImageDeleteItem[]> {
  return new Removal(store, input).run();
}

interface Conflict {
  readonly error: BerthError;
  readonly used: boolean;
}

class Removal {
  readonly #store: ImageStore;
  readonly #input: RemoveInput;
  readonly #rows: ImageDeleteItem[] = [];
  /** Names taken away, by image. */
  readonly #names = new Map<string, DiscardedName[]>();

  constructor(store: ImageStore, input: RemoveInput) {
    this.#store = store;
    this.#input = input;
  }

  async run(): Promise<ImageDeleteItem[]> {
    const { image: given, force, platforms = [] } = this.#input;
    const { id } = this.#store.resolve(given);
    const references = this.#store.references(id);
    if (this.#input.isLocked?.(id) === true) throw lockedConflict(id);
    if (platforms.length > 0 && (await this.#platforms(given, platforms))) return this.#rows;
    const variants = new Set(
      references.flatMap((name) => imagesOf(this.#store, this.#store.target(name))).map((v) => v.id),
    );
    await this.#all(given, id, references, force);
    if (!this.#store.has(id)) await this.#leftVariants(variants);
    return this.#rows;
  }

  /** Removes platforms of a name; false when that is all there is of it, and the name itself has to go. */
  async #platforms(given: string, platforms: readonly Platform[]): Promise<boolean> {
    const store = this.#store;
    const named = store.resolve(given);
    const wanted = new Set(platforms.map((platform) => store.resolve(given, platform).id));
    const here = [...new Set([named.id, ...imagesOf(store, targetOf(store, given, named)).map((image) => image.id)])];
    const left = here.filter((id) => !wanted.has(id));
    if (left.length === 0) return false;
    for (const id of wanted) {
      const found = this.#conflictOf(id, { soft: !this.#input.force, references: false });
      if (found !== undefined) throw found.error;
    }
    for (const id of wanted) {
      for (const reference of store.references(id)) {
        const target = store.target(reference);
        const next = bestPlatform(
          hostPlatform(),
          imagesOf(store, target).filter((image) => left.includes(image.id)),
          (image) => image.platform,
        );
        const heir = next?.id ?? left[0];
        if (heir !== undefined) store.tag(heir, reference, target);
      }
      this.#input.discard?.(store.get(id), []);
      store.delete(id);
      this.#input.onDelete?.(id);
      this.#rows.push({ Deleted: id });
    }
    for (const chainId of await this.#input.collect()) this.#rows.push({ Deleted: chainId });
    return true;
  }

  /** The other platforms of a name that is gone, unless somebody else needs them. */
  async #leftVariants(ids: ReadonlySet<string>): Promise<void> {
    const store = this.#store;
    const named = namedVariants(store);
    for (const id of ids) {
      if (!store.has(id) || named.has(id) || store.references(id).length > 0) continue;
      if (this.#conflictOf(id, { soft: true, references: true }) !== undefined) continue;
      await this.#delete(id, { force: false, prune: !this.#input.noprune, quiet: true });
    }
  }

  async #all(given: string, id: string, references: readonly Reference[], force: boolean): Promise<void> {
    const isName = !isIdPrefix(id, given);
    if (isName) {
      if (!force && isSingle(references)) {
        const [user] = this.#input.containersUsing(id);
        if (user !== undefined) {
          throw conflict(
            `conflict: unable to remove repository reference "${given}" (must force) - container ${short(user.id)} ` +
              `is using its referenced image ${short(id)}`,
          );
        }
      }
      const left = this.#untagNamed(id, withDefaultTag(parseReference(given)));
      if (left.length > 0) return;
    } else if (isSingle(references)) {
      const found = this.#conflictOf(id, { soft: !force, references: false });
      if (found !== undefined) throw found.error;
      for (const reference of references) this.#untag(id, reference);
    }
    await this.#delete(id, { force, prune: !this.#input.noprune, quiet: isName });
  }

  /** Takes one name away, and with a repository's last tag its digests; the names that are left. */
  #untagNamed(id: string, reference: Reference): Reference[] {
    this.#untag(id, reference);
    const left = this.#store.references(id);
    if (reference.digest !== undefined) return left;
    const sameRepository = (other: Reference): boolean => canonicalName(other) === canonicalName(reference);
    if (left.some((other) => other.digest === undefined && sameRepository(other))) return left;
    for (const other of left) if (sameRepository(other)) this.#untag(id, other, { tell: false });
    return this.#store.references(id);
  }

  /** `tell` false: it goes along with another name, of which is told. */
  #untag(id: string, reference: Reference, { tell }: { readonly tell: boolean } = { tell: true }): void {
    const discarded = { name: canonicalString(reference), target: this.#store.target(reference) ?? null };
    this.#names.set(id, [...(this.#names.get(id) ?? []), discarded]);
    this.#store.untag(reference);
    const name = familiarString(reference);
    this.#rows.push({ Untagged: name });
    if (tell) this.#input.onUntag?.(id, name);
  }

  async #delete(id: string, options: { force: boolean; prune: boolean; quiet: boolean }): Promise<void> {
    const found = this.#conflictOf(id, { soft: !options.force, references: !options.force });
    if (found !== undefined) {
      // The name is gone already; that the image stays is an error only when nothing else would tell of it.
      if (options.quiet && (this.#store.references(id).length > 0 || found.used)) return;
      throw found.error;
    }
    const { parent } = this.#store.get(id);
    for (const reference of this.#store.references(id)) this.#untag(id, reference);
    this.#input.discard?.(this.#store.get(id), this.#names.get(id) ?? []);
    this.#store.delete(id);
    this.#input.onDelete?.(id);
    this.#rows.push({ Deleted: id });
    for (const chainId of await this.#input.collect()) this.#rows.push({ Deleted: chainId });
    if (!options.prune || parent === undefined || !this.#store.has(parent)) return;
    if (this.#store.references(parent).length > 0) return;
    await this.#delete(parent, { force: false, prune: true, quiet: true });
  }

  /** What stands against deleting; `soft` counts what can be forced, `references` the names among it. */
  #conflictOf(id: string, count: { soft: boolean; references: boolean }): Conflict | undefined {
    const refuse = (hard: boolean, used: boolean, why: string): Conflict => ({
      error: conflict(`conflict: unable to delete ${short(id)} (${hard ? 'cannot' : 'must'} be forced) - ${why}`),
      used,
    });
    if (this.#input.isLocked?.(id) === true) return { error: lockedConflict(id), used: true };
    if (this.#store.children(id).length > 0) return refuse(true, false, 'image has dependent child images');
    const users = this.#input.containersUsing(id);
    const running = users.find((user) => user.running);
    if (running !== undefined)
      return refuse(true, true, `image is being used by running container ${short(running.id)}`);
    if (count.references && this.#store.references(id).length > 0) {
      return refuse(false, false, 'image is referenced in multiple repositories');
    }
    const stopped = users.find((user) => !user.running);
    if (count.soft && stopped !== undefined) {
      return refuse(false, true, `image is being used by stopped container ${short(stopped.id)}`);
    }
    return undefined;
  }
}

/** At most one tag, and digests only of the same repository. */
function isSingle(references: readonly Reference[]): boolean {
  const tags = references.filter((reference) => reference.digest === undefined);
  const repositories = new Set(references.map(canonicalName));
  return references.length <= 1 || (tags.length <= 1 && repositories.size === 1);
}

function isIdPrefix(id: string, text: string): boolean {
  return id.startsWith(text) || id.slice('sha256:'.length).startsWith(text);
}

const lockedConflict = (id: string): BerthError =>
  conflict(`conflict: unable to delete ${short(id)} (cannot be forced) - image is locked`);

const short = (id: string): string => id.replace(/^sha256:/, '').slice(0, 12);
