/**
 * Layers as whole copies: works on every file system, needs the space of every layer anew. For hosts without overlay.
 *
 *   <home>/<id>/tree          the merged files       <home>/trash/   to be deleted
 *   <home>/<id>/layer.json    parent, read-write     <home>/tmp-…    being made
 */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { conflict, dataLoss, notFound, notImplemented } from '#errdefs/errors.ts';
import { kernelName, pathVia } from '#pkg/archive/directories.ts';
import { textOf } from '#pkg/archive/entry.ts';
import type { ArchivePool } from '#pkg/archive/pool.ts';
import { syncDirectory, writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';
import { Rollback } from '#pkg/rollback/rollback.ts';
import { type FileStatus, open, ownedFd } from '#sys/files.ts';
import { bindDetached, mountSetattr } from '#sys/mounts.ts';
import { MOUNT_ATTR, O } from '#sys/numbers.ts';
import { lgetxattr } from '#sys/xattrs.ts';
import type { Change, DiffTarget, GraphDriver, LayerMount, MountOptions } from './driver.ts';
import { idMapped, LiveMounts, mountOf } from './mounts.ts';
import { assertId, isId, TEMPORARY_PREFIX, temporaryName, TRASH } from './names.ts';
import { Trash } from './trash.ts';
import { isDirectory, isRegular, tryStatBelow, type WalkEntry, walkTree } from './walk.ts';

interface Notes {
  readonly parent: string | null;
  readonly readWrite: boolean;
}

export class VfsDriver implements GraphDriver {
  readonly name = 'vfs';
  readonly needsParentFirst = true;
  readonly #home: string;
  readonly #pool: ArchivePool;
  readonly #trash: Trash;
  readonly #mounts = new LiveMounts();

  private constructor(home: string, pool: ArchivePool, trash: Trash) {
    this.#home = home;
    this.#pool = pool;
    this.#trash = trash;
  }

  static open(home: string, pool: ArchivePool): VfsDriver {
    fs.mkdirSync(home, { recursive: true, mode: 0o710 });
    return new VfsDriver(home, pool, new Trash(path.join(home, TRASH)));
  }

  get home(): string {
    return this.#home;
  }

  status(): [string, string][] {
    return [];
  }

  async diffTarget(id: string, parent: string | undefined): Promise<DiffTarget> {
    this.#assertNew(id, parent);
    const hold = this.#trash.hold();
    const temporary = path.join(this.#home, temporaryName(id));
    let committed = false;
    const dispose = async (): Promise<void> => {
      hold[Symbol.dispose]();
      if (!committed) this.#trash.discard(temporary);
    };
    try {
      await this.#copyParent(temporary, parent);
    } catch (error) {
      await dispose();
      throw error;
    }
    return {
      path: path.join(temporary, 'tree'),
      whiteouts: 'apply',
      commit: async (laterParent) => {
        assert(!committed, 'a layer is committed once');
        assert(laterParent === undefined || laterParent === parent, 'vfs needs the parent first');
        this.#finish(temporary, id, { parent: parent ?? null, readWrite: false });
        committed = true;
      },
      [Symbol.asyncDispose]: dispose,
    };
  }

  async createReadWrite(id: string, parent: string | undefined, made?: (directory: string) => void): Promise<void> {
    this.#assertNew(id, parent);
    const temporary = path.join(this.#home, temporaryName(id));
    await using undo = new Rollback();
    undo.defer('discard the temporary directory', () => this.#trash.discard(temporary));
    await this.#copyParent(temporary, parent, made);
    this.#finish(temporary, id, { parent: parent ?? null, readWrite: true });
    undo.commit();
  }

  seal(id: string): void {
    assert(!this.#mounts.has(id), `layer "${id}" is sealed while a mount of it is open`);
    this.#note(id, { ...this.#notes(id), readWrite: false });
  }

  mountOwn(id: string): never {
    throw notImplemented(`the vfs driver keeps all files in "${id}", not those of a layer`);
  }

  rebase(id: string, parent: string | undefined): void {
    const notes = this.#notes(id);
    if ((parent ?? null) !== notes.parent) this.#note(id, { ...notes, parent: parent ?? null });
  }

  exists(id: string): boolean {
    return isId(id) && fs.existsSync(path.join(this.#home, id));
  }

  list(): string[] {
    return fs.readdirSync(this.#home).filter(isId);
  }

  isReadWrite(id: string): boolean {
    return this.#notes(id).readWrite;
  }

  async sync(): Promise<void> {
    await this.#pool.sync(this.#home);
  }

  setAside(id: string, directory: string): void {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    fs.renameSync(this.#directory(id), path.join(directory, `${id}-${Date.now()}`));
    syncDirectory(directory);
  }

  mount(id: string, { usernsFd }: MountOptions = {}): LayerMount {
    if (!this.exists(id)) throw notFound(`Cannot mount layer "${id}": there is no such layer`);
    const tree = this.#tree(id);
    if (this.isReadWrite(id)) {
      return this.#mounts.open(id, usernsFd !== undefined, () =>
        usernsFd === undefined ? bindDetached(tree) : idMapped(tree, usernsFd).release(),
      );
    }
    if (usernsFd === undefined) return mountOf(bindDetached(tree, { readOnly: true }));
    using mapped = idMapped(tree, usernsFd);
    mountSetattr(mapped.fd, { set: MOUNT_ATTR.RDONLY });
    return mountOf(mapped.release());
  }

  async remove(id: string): Promise<void> {
    assert(!this.#mounts.has(id), `layer "${id}" is removed while a mount of it is open`);
    this.#trash.discard(this.#directory(id));
  }

  async diffSize(id: string, signal?: AbortSignal): Promise<number> {
    let bytes = 0;
    const seen = new Set<string>();
    await this.#compare(
      id,
      (_name, kind, status) => {
        if (kind === 2 || status === undefined || !isRegular(status)) return;
        const key = `${status.dev}:${status.ino}`;
        if (status.nlink > 1 && seen.has(key)) return;
        seen.add(key);
        bytes += status.size;
      },
      signal,
    );
    return bytes;
  }

  async changes(id: string): Promise<Change[]> {
    const changes: Change[] = [];
    const listed = new Set<string>();
    const add = (name: string, kind: 0 | 1 | 2): void => {
      const slash = name.lastIndexOf('/');
      const parent = slash < 0 ? '' : name.slice(0, slash);
      if (kind !== 0 && parent !== '' && !listed.has(parent)) add(parent, 0);
      if (listed.has(name)) return;
      listed.add(name);
      changes.push({ path: `/${textOf(name)}`, kind });
    };
    await this.#compare(id, add);
    return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  }

  directory(id: string): string {
    return this.#tree(id);
  }

  metadata(_id: string): Record<string, string> {
    return {};
  }

  async sweep(): Promise<void> {
    for (const name of fs.readdirSync(this.#home)) {
      if (name.startsWith(TEMPORARY_PREFIX)) this.#trash.discard(path.join(this.#home, name));
    }
    this.#trash.resume();
  }

  async close(): Promise<void> {
    await this.#trash.close();
  }

  emptyTrash(): Promise<void> {
    return this.#trash.empty();
  }

  #directory(id: string): string {
    assertId(id);
    return path.join(this.#home, id);
  }

  #tree(id: string): string {
    return path.join(this.#directory(id), 'tree');
  }

  #assertNew(id: string, parent: string | undefined): void {
    assertId(id);
    if (this.exists(id)) throw conflict(`Cannot make layer "${id}": it exists`);
    if (parent !== undefined && !this.exists(parent)) {
      throw notFound(`Cannot make layer "${id}": its parent "${parent}" is missing`);
    }
  }

  async #copyParent(temporary: string, parent: string | undefined, made?: (directory: string) => void): Promise<void> {
    const tree = path.join(temporary, 'tree');
    fs.mkdirSync(tree, { recursive: true, mode: 0o755 });
    fs.chmodSync(temporary, 0o710);
    fs.chmodSync(tree, 0o755);
    made?.(tree);
    if (parent !== undefined) await this.#pool.copy(this.#tree(parent), tree);
  }

  #finish(temporary: string, id: string, notes: Notes): void {
    fs.writeFileSync(path.join(temporary, 'layer.json'), JSON.stringify(notes));
    fs.renameSync(temporary, path.join(this.#home, id));
  }

  #note(id: string, notes: Notes): void {
    const file = path.join(this.#directory(id), 'layer.json');
    writeFileAtomic(file, JSON.stringify(notes), { mode: 0o644, durable: false });
  }

  #notes(id: string): Notes {
    const file = path.join(this.#directory(id), 'layer.json');
    const notes: unknown = JSON.parse(fs.readFileSync(file, 'utf8'));
    if (typeof notes === 'object' && notes !== null && 'parent' in notes && 'readWrite' in notes) {
      const { parent, readWrite } = notes;
      if ((parent === null || typeof parent === 'string') && typeof readWrite === 'boolean')
        return { parent, readWrite };
    }
    throw dataLoss(`Cannot read "${file}": not the notes of a layer`);
  }

  /** Tells every difference between a layer and its parent; `status` is that of the newer file. */
  async #compare(
    id: string,
    differs: (name: string, kind: 0 | 1 | 2, status: FileStatus | undefined) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const { parent } = this.#notes(id);
    const own = this.#tree(id);
    if (parent === null) {
      await walkTree(own, ({ path: name, status }) => differs(name, 1, status), { signal });
      return;
    }
    using before = ownedFd(open(this.#tree(parent), O.PATH | O.DIRECTORY));
    using after = ownedFd(open(own, O.PATH | O.DIRECTORY));
    await walkTree(
      own,
      (entry) => {
        const old = tryStatBelow(before.fd, kernelName(entry.path));
        if (old === undefined) differs(entry.path, 1, entry.status);
        else if (isChanged(old, entry, before.fd)) differs(entry.path, 0, entry.status);
      },
      { signal },
    );
    const missing = (name: string): boolean => tryStatBelow(after.fd, kernelName(name)) === undefined;
    await walkTree(
      this.#tree(parent),
      ({ path: name }) => {
        if (missing(name)) differs(name, 2, undefined);
      },
      // What is below a directory that is gone is gone with it.
      { signal, enter: ({ path: name }) => !missing(name) },
    );
  }
}

/** As Docker compares: size and time of a directory say nothing. */
function isChanged(old: FileStatus, entry: WalkEntry, before: number): boolean {
  const { status } = entry;
  if (old.mode !== status.mode || old.uid !== status.uid || old.gid !== status.gid) return true;
  if (old.rdevMajor !== status.rdevMajor || old.rdevMinor !== status.rdevMinor) return true;
  if (isDirectory(status)) return false;
  if (old.mtimeNs !== status.mtimeNs || old.size !== status.size) return true;
  const capability = (at: Uint8Array): string =>
    Buffer.from(lgetxattr(at, 'security.capability') ?? []).toString('hex');
  return capability(pathVia(before, entry.path)) !== capability(pathVia(entry.directory, entry.name));
}
