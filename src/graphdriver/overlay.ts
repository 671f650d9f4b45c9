/**
 * Layers as directories that the kernel's overlay stacks.
 *
 *   <home>/<id>/diff     the layer's own files          <home>/l/<SHORT>   link to ../<id>/diff: mount options are short
 *   <home>/<id>/link     its SHORT                      <home>/trash/      to be deleted
 *   <home>/<id>/lower    `l/A:l/B`, topmost first       <home>/empty/      lower of a layer that has none
 *   <home>/<id>/work     of read-write layers only      <home>/tmp-…       being made
 *                                                       <home>/spare/      read-write layers made ahead
 *
 * A read-write layer has no SHORT until something stands on it: hardly any ever needs it, and making and deleting two
 * files costs a `run --rm` a third of a millisecond.
 */
import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { conflict, invalidParameter, messageOf, notFound, systemError } from '#errdefs/errors.ts';
import { textOf } from '#pkg/archive/entry.ts';
import type { ArchivePool } from '#pkg/archive/pool.ts';
import { syncDirectory, writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';
import { Rollback } from '#pkg/rollback/rollback.ts';
import { Spares } from '#pkg/spares/spares.ts';
import { close, open, ownedFd, statfs } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { detachedOverlay, isUnsupported } from '#sys/mounts.ts';
import { spreadDirectories } from '#sys/spread.ts';
import { lgetxattr } from '#sys/xattrs.ts';
import { kernelName, pathVia } from '#pkg/archive/directories.ts';
import { isErrno } from '#sys/errno.ts';
import type { Change, DiffTarget, GraphDriver, LayerMount, MountOptions } from './driver.ts';
import { idMapped, LiveMounts, mountOf } from './mounts.ts';
import { assertId, EMPTY, isId, LINKS, shortName, SPARE, TEMPORARY_PREFIX, temporaryName, TRASH } from './names.ts';
import { Trash } from './trash.ts';
import { isDirectory, isWhiteout, treeSize, tryStatBelow, walkTree } from './walk.ts';

/** The kernel's limit of lower directories (OVL_MAX_STACK). */
const LAYERS_MAX = 500;
/** So that every path of a mount fits into fsconfig's 255 bytes. */
const HOME_LENGTH_MAX = 160;
/** What makes a read-write layer a plain difference: no redirects, no copies of metadata alone. */
const OPTIONS = { index: 'off', metacopy: 'off', redirect_dir: 'off' } as const;

const backingNames: Readonly<Record<number, string>> = {
  61267: 'extfs',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  16914836: 'tmpfs',
  801189825: 'zfs',
};

export class OverlayDriver implements GraphDriver {
  readonly name = 'overlay';
  readonly needsParentFirst = false;
  readonly #home: string;
  readonly #pool: ArchivePool;
  readonly #trash: Trash;
  readonly #mounts = new LiveMounts();
  readonly #spares = new Spares<string>((directory) => fs.rmSync(directory, { recursive: true, force: true }));
  #spared = 0;

  private constructor(home: string, pool: ArchivePool, trash: Trash) {
    this.#home = home;
    this.#pool = pool;
    this.#trash = trash;
  }

  /** `home` is made when missing. Errors: system when this kernel or file system cannot do it. */
  static open(home: string, pool: ArchivePool): OverlayDriver {
    if (Buffer.byteLength(home) > HOME_LENGTH_MAX) {
      throw invalidParameter(`Cannot keep layers in "${home}": the path is longer than ${HOME_LENGTH_MAX} bytes`);
    }
    fs.rmSync(path.join(home, SPARE), { recursive: true, force: true });
    for (const directory of [home, path.join(home, LINKS), path.join(home, EMPTY), path.join(home, SPARE)]) {
      fs.mkdirSync(directory, { recursive: true, mode: 0o710 });
    }
    spreadDirectories(home);
    spreadDirectories(path.join(home, SPARE));
    probe(home);
    return new OverlayDriver(home, pool, new Trash(path.join(home, TRASH)));
  }

  get home(): string {
    return this.#home;
  }

  status(): [string, string][] {
    const { type } = statfs(this.#home);
    return [
      ['Backing Filesystem', backingNames[type] ?? `0x${type.toString(16)}`],
      ['Supports d_type', 'true'],
      ['Using metacopy', 'false'],
      ['Native Overlay Diff', 'true'],
      ['userxattr', 'false'],
    ];
  }

  async diffTarget(id: string, parent: string | undefined): Promise<DiffTarget> {
    this.#assertNew(id);
    const hold = this.#trash.hold();
    const temporary = path.join(this.#home, temporaryName(id));
    try {
      fs.mkdirSync(path.join(temporary, 'diff'), { recursive: true, mode: 0o755 });
      fs.chmodSync(temporary, 0o710);
    } catch (error) {
      hold[Symbol.dispose]();
      this.#trash.discard(temporary);
      throw error;
    }
    let committed = false;
    return {
      path: path.join(temporary, 'diff'),
      whiteouts: 'overlay',
      commit: async (laterParent) => {
        assert(!committed, 'a layer is committed once');
        this.#assertParent(id, laterParent ?? parent, LAYERS_MAX - 1);
        this.#finish(temporary, id, laterParent ?? parent, shortName());
        committed = true;
      },
      [Symbol.asyncDispose]: async () => {
        hold[Symbol.dispose]();
        if (!committed) this.#trash.discard(temporary);
      },
    };
  }

  async createReadWrite(id: string, parent: string | undefined, made?: (directory: string) => void): Promise<void> {
    this.#assertNew(id);
    this.#assertParent(id, parent, LAYERS_MAX);
    const temporary = this.#spares.take('', () => this.#makeSpare());
    await using undo = new Rollback();
    undo.defer('discard the temporary directory', () => this.#trash.discard(temporary));
    // Both: a file is made in one and renamed into the other.
    for (const name of ['diff', 'work']) made?.(path.join(temporary, name));
    this.#finish(temporary, id, parent, undefined);
    undo.commit();
  }

  #makeSpare(): string {
    const directory = path.join(this.#home, SPARE, String(this.#spared++));
    try {
      fs.mkdirSync(directory, { mode: 0o710 });
      makeDirectory(path.join(directory, 'diff'), 0o755);
      makeDirectory(path.join(directory, 'work'), 0o711);
      return directory;
    } catch (error) {
      fs.rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  seal(id: string): void {
    assert(!this.#mounts.has(id), `layer "${id}" is sealed while a mount of it is open`);
    // The work directory is what makes it a read-write one; what the kernel leaves in it is its own.
    this.#trash.discard(path.join(this.#directory(id), 'work'));
  }

  rebase(id: string, parent: string | undefined, over?: string): void {
    const file = path.join(this.#directory(id), 'lower');
    const own = over === undefined ? [] : [`${LINKS}/${this.#short(over)}`];
    const below = parent === undefined ? [] : [`${LINKS}/${this.#short(parent)}`, ...this.#lowerLinks(parent)];
    const lower = [...own, ...below].join(':');
    if (lower === this.#lowerLinks(id).join(':')) return;
    if (lower === '') fs.rmSync(file, { force: true });
    else writeFileAtomic(file, lower, { mode: 0o644, durable: false });
  }

  exists(id: string): boolean {
    return isId(id) && fs.existsSync(path.join(this.#home, id));
  }

  list(): string[] {
    return fs.readdirSync(this.#home).filter(isId);
  }

  isReadWrite(id: string): boolean {
    return fs.existsSync(path.join(this.#directory(id), 'work'));
  }

  async sync(): Promise<void> {
    await this.#pool.sync(this.#home);
  }

  setAside(id: string, directory: string): void {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#unlinkShort(id);
    fs.renameSync(this.#directory(id), path.join(directory, `${id}-${Date.now()}`));
    syncDirectory(directory);
  }

  mount(id: string, { usernsFd }: MountOptions = {}): LayerMount {
    const directory = this.#directory(id);
    if (!this.exists(id)) throw notFound(`Cannot mount layer "${id}": there is no such layer`);
    if (this.isReadWrite(id)) {
      return this.#mounts.open(id, usernsFd !== undefined, () =>
        usernsFd === undefined
          ? detachedOverlay({
              lower: this.#lower(id),
              upper: path.join(directory, 'diff'),
              work: path.join(directory, 'work'),
              options: OPTIONS,
            })
          : this.#mountMapped(id, usernsFd),
      );
    }
    if (usernsFd !== undefined) return mountOf(this.#mountMapped(id, usernsFd));
    const own = path.join(this.#home, LINKS, this.#short(id));
    const lower = this.#lower(id);
    const fd = detachedOverlay({ lower: [own, ...lower], options: OPTIONS });
    return mountOf(fd);
  }

  mountOwn(id: string, over: string | undefined): LayerMount {
    if (!this.exists(id)) throw notFound(`Cannot mount layer "${id}": there is no such layer`);
    const link = (of: string): string => path.join(this.#home, LINKS, this.#short(of));
    // Without an upper the kernel wants two directories.
    const lower = [link(id), over === undefined ? path.join(this.#home, EMPTY) : link(over)];
    return mountOf(detachedOverlay({ lower, options: OPTIONS }));
  }

  /**
   * Lower and upper directories through one id-mapped copy of the mount they lie on: what is on the disk has the ids of
   * inside, whatever range the container has. The maps need a place for the mounter's own id 0 (whiteouts, work).
   */
  #mountMapped(id: string, usernsFd: number): number {
    const links = this.#lowerLinks(id);
    const lower = links.length === 0 ? [EMPTY] : links;
    using home = idMapped(this.#home, usernsFd);
    const common = { within: home.fd, options: OPTIONS };
    if (!this.isReadWrite(id)) return detachedOverlay({ ...common, lower: [`${LINKS}/${this.#short(id)}`, ...lower] });
    return detachedOverlay({ ...common, lower, upper: `${id}/diff`, work: `${id}/work` });
  }

  async remove(id: string): Promise<void> {
    assertId(id);
    assert(!this.#mounts.has(id), `layer "${id}" is removed while a mount of it is open`);
    const short = this.#knownShort(id);
    // A journal that is being written holds both up as long as an fsync.
    if (short !== '') await fs.promises.rm(path.join(this.#home, LINKS, short), { force: true });
    await this.#trash.discardAside(this.#directory(id));
  }

  async diffSize(id: string, signal?: AbortSignal): Promise<number> {
    return treeSize(path.join(this.#directory(id), 'diff'), signal);
  }

  async changes(id: string): Promise<Change[]> {
    const changes: Change[] = [];
    using parents = ownedFd(this.#openParents(id));
    const listed = new Set<string>();
    /** Directories that hide what is below them in the parent. */
    const opaque: string[] = [];
    const parentStatus = (name: string) => tryStatBelow(parents.fd, kernelName(name));
    const add = (name: string, kind: 0 | 1 | 2): void => {
      // What changes inside a directory changes it, also when its own times say nothing.
      const slash = name.lastIndexOf('/');
      const parent = slash < 0 ? '' : name.slice(0, slash);
      if (kind !== 0 && parent !== '' && !listed.has(parent)) add(parent, 0);
      if (listed.has(name)) return;
      listed.add(name);
      changes.push({ path: `/${textOf(name)}`, kind });
    };
    await walkTree(path.join(this.#directory(id), 'diff'), ({ path: name, directory, name: last, status }) => {
      const before = parentStatus(name);
      if (isWhiteout(status)) {
        if (before !== undefined) add(name, 2);
        return;
      }
      if (before === undefined) {
        add(name, 1);
        return;
      }
      if (!isDirectory(status) || !isDirectory(before)) {
        add(name, 0);
        return;
      }
      const isOpaque = lgetxattr(pathVia(directory, last), 'trusted.overlay.opaque') !== undefined;
      if (isOpaque) opaque.push(name);
      if (isOpaque || status.mode !== before.mode || status.mtimeNs !== before.mtimeNs) add(name, 0);
    });
    for (const name of opaque) await this.#hiddenBy(id, name, parents.fd, add);
    return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  }

  directory(id: string): string {
    return path.join(this.#directory(id), 'diff');
  }

  metadata(id: string): Record<string, string> {
    const directory = this.#directory(id);
    const lower = this.#lowerLinks(id).map((link) => fs.realpathSync(path.join(this.#home, link)));
    const data: Record<string, string> = lower.length === 0 ? {} : { LowerDir: lower.join(':') };
    data['UpperDir'] = path.join(directory, 'diff');
    data['WorkDir'] = path.join(directory, 'work');
    return data;
  }

  async sweep(): Promise<void> {
    for (const name of fs.readdirSync(this.#home)) {
      if (name.startsWith(TEMPORARY_PREFIX)) this.#trash.discard(path.join(this.#home, name));
    }
    const links = path.join(this.#home, LINKS);
    for (const name of fs.readdirSync(links)) {
      if (!fs.existsSync(path.join(links, name))) fs.unlinkSync(path.join(links, name));
    }
    this.#trash.resume();
  }

  async close(): Promise<void> {
    this.#spares[Symbol.dispose]();
    await this.#trash.close();
  }

  emptyTrash(): Promise<void> {
    return this.#trash.empty();
  }

  #directory(id: string): string {
    assertId(id);
    return path.join(this.#home, id);
  }

  #assertNew(id: string): void {
    assertId(id);
    if (this.exists(id)) throw conflict(`Cannot make layer "${id}": it exists`);
  }

  #assertParent(id: string, parent: string | undefined, layersMax: number): void {
    if (parent === undefined) return;
    if (!this.exists(parent)) throw notFound(`Cannot make layer "${id}": its parent "${parent}" is missing`);
    if (this.#lowerLinks(parent).length + 1 > layersMax) {
      throw invalidParameter(`max depth exceeded: an image may have at most ${LAYERS_MAX} layers`);
    }
  }

  /** Writes the notes beside the difference and renames the directory to its id. */
  #finish(temporary: string, id: string, parent: string | undefined, short: string | undefined): void {
    if (short !== undefined) fs.writeFileSync(path.join(temporary, 'link'), short);
    if (parent !== undefined) {
      const lower = [`${LINKS}/${this.#short(parent)}`, ...this.#lowerLinks(parent)].join(':');
      fs.writeFileSync(path.join(temporary, 'lower'), lower);
    }
    // The link first: one that leads nowhere is removed by the sweep, a layer without one could not be mounted.
    if (short !== undefined) this.#linkShort(id, short);
    fs.renameSync(temporary, path.join(this.#home, id));
  }

  #linkShort(id: string, short: string): void {
    fs.symlinkSync(`../${id}/diff`, path.join(this.#home, LINKS, short));
  }

  #short(id: string): string {
    const known = this.#knownShort(id);
    if (known !== '') return known;
    if (!this.exists(id)) throw notFound(`Cannot stand on layer "${id}": there is no such layer`);
    const short = shortName();
    this.#linkShort(id, short);
    writeFileAtomic(path.join(this.#directory(id), 'link'), short, { mode: 0o644, durable: false });
    return short;
  }

  /** '' while it has none. */
  #knownShort(id: string): string {
    try {
      return fs.readFileSync(path.join(this.#directory(id), 'link'), 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
      throw error;
    }
  }

  /** `l/…` of all layers below, topmost first. */
  #lowerLinks(id: string): string[] {
    try {
      return fs.readFileSync(path.join(this.#directory(id), 'lower'), 'utf8').split(':');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw error;
    }
  }

  /** Lower directories for a mount: at least one, since overlay wants one (two without an upper). */
  #lower(id: string): string[] {
    const links = this.#lowerLinks(id);
    return links.length === 0 ? [path.join(this.#home, EMPTY)] : links.map((link) => path.join(this.#home, link));
  }

  /** Descriptor of the parent's merged view: an empty directory for a layer without one. */
  #openParents(id: string): number {
    const empty = path.join(this.#home, EMPTY);
    const lower = this.#lowerLinks(id).map((link) => path.join(this.#home, link));
    if (lower.length === 0) return open(empty, O.PATH | O.DIRECTORY);
    // Without an upper the kernel wants two directories.
    return detachedOverlay({ lower: lower.length === 1 ? [...lower, empty] : lower, options: OPTIONS });
  }

  /** What an opaque directory hides of the parent's and does not bring itself. */
  async #hiddenBy(
    id: string,
    directory: string,
    parents: number,
    add: (name: string, kind: 0 | 1 | 2) => void,
  ): Promise<void> {
    using own = ownedFd(open(path.join(this.#directory(id), 'diff'), O.PATH | O.DIRECTORY));
    const missing = (name: string): boolean => tryStatBelow(own.fd, kernelName(name)) === undefined;
    await walkTree(
      `/proc/self/fd/${parents}/${textOf(directory)}`,
      ({ path: name }) => {
        if (missing(`${directory}/${name}`)) add(`${directory}/${name}`, 2);
      },
      { enter: ({ path: name }) => !missing(`${directory}/${name}`) },
    );
  }

  #unlinkShort(id: string): void {
    const short = this.#knownShort(id);
    if (short !== '') fs.rmSync(path.join(this.#home, LINKS, short), { force: true });
  }
}

function makeDirectory(directory: string, mode: number): void {
  fs.mkdirSync(directory, { mode });
  // The umask may have taken bits.
  fs.chmodSync(directory, mode);
}

/** One small overlay: says at once what would otherwise fail at the first container. */
function probe(home: string): void {
  const directory = path.join(home, `${TEMPORARY_PREFIX}probe-${process.pid}`);
  try {
    for (const name of ['lower', 'upper', 'work']) fs.mkdirSync(path.join(directory, name), { recursive: true });
    const [lower, upper, work] = ['lower', 'upper', 'work'].map((name) => path.join(directory, name));
    assert(lower !== undefined && upper !== undefined && work !== undefined);
    close(detachedOverlay({ lower: [lower], upper, work, options: OPTIONS }));
  } catch (error) {
    if (!isUnsupported(error) && !isErrno(error)) throw error;
    throw systemError(`overlay is not supported over "${home}": ${messageOf(error)}`, { cause: error });
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}
