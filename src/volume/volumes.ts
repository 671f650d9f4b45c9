/**
 * Local volumes: directories below `<root>/volumes/NAME/_data` that outlive containers. Anonymous ones have 64 hex
 * digits for a name and go with their container (`rm -v`, `--rm`) only.
 *
 * Invariants: a volume is recorded, durably, before its directory exists and forgotten after it is gone; a directory
 * without a record is never deleted but moved to lost+found (a power failure may forget a record, not the data). Which
 * containers use a volume is an edge of graphdb, so that it is true after any crash.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Volume } from '#api/types/volume.ts';
import { conflict, invalidParameter, notFound } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import { close, getdents, open, ownedFd, renameat2 } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { tryOpenInRoot } from '#sys/safe-path.ts';

export const VOLUME_KIND = 'volume';

/** Copies a directory's contents with all that belongs to them, following no link. */
export type CopyTree = (
  from: string,
  to: string,
  options: { readonly signal?: AbortSignal | undefined },
) => Promise<void>;

export interface VolumeRecord {
  readonly name: string;
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly anonymous: boolean;
}

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const usersOf = (name: string): string => `volume-users/${name}`;

export class Volumes {
  readonly #root: string;
  readonly #lostAndFound: string;
  readonly #db: GraphDb;
  readonly #copy: CopyTree;

  constructor(options: { readonly dataRoot: string; readonly db: GraphDb; readonly copy: CopyTree }) {
    this.#copy = options.copy;
    this.#root = path.join(options.dataRoot, 'volumes');
    this.#lostAndFound = path.join(options.dataRoot, 'lost+found');
    this.#db = options.db;
    fs.mkdirSync(this.#root, { recursive: true, mode: 0o700 });
  }

  /** Makes a volume, or gives the one that has this name. '' is an anonymous one. */
  create(name: string, labels: Readonly<Record<string, string>> = {}): { volume: VolumeRecord; created: boolean } {
    const existing = name === '' ? undefined : this.find(name);
    if (existing !== undefined) return { volume: existing, created: false };
    if (name !== '' && !namePattern.test(name)) throw invalidParameter(`"${name}" is no name of a volume`);
    const volume: VolumeRecord = {
      name: name === '' ? randomBytes(32).toString('hex') : name,
      createdAt: rfc3339(nowNs()),
      labels,
      anonymous: name === '',
    };
    this.#db.transaction(() => this.#db.put(VOLUME_KIND, volume.name, volume), { durable: true });
    failpoint('volume.recorded');
    this.#makeDirectory(volume.name);
    return { volume, created: true };
  }

  #makeDirectory(name: string): void {
    const directory = path.join(this.#root, name);
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    fs.mkdirSync(path.join(directory, '_data'), { recursive: true, mode: 0o755 });
  }

  mountpoint(name: string): string {
    return path.join(this.#root, name, '_data');
  }

  find(name: string): VolumeRecord | undefined {
    const document = this.#db.get(VOLUME_KIND, name);
    // as: only `create` writes documents of this kind.
    return document === undefined ? undefined : (document as VolumeRecord);
  }

  /** Errors: not-found `get X: no such volume`. */
  get(name: string): VolumeRecord {
    const volume = this.find(name);
    if (volume === undefined) throw notFound(`get ${name}: no such volume`);
    return volume;
  }

  list(): VolumeRecord[] {
    // as: see find.
    return this.#db.list(VOLUME_KIND).map(({ document }) => document as VolumeRecord);
  }

  /** Ids of the containers that have it among their mounts. */
  users(name: string): string[] {
    return this.#db.children(usersOf(name)).map((edge) => edge.child);
  }

  /** Call inside the transaction that records or forgets the container. Idempotent. */
  addUser(name: string, containerId: string): void {
    if (this.#db.child(usersOf(name), containerId) === undefined) {
      this.#db.link(usersOf(name), containerId, containerId);
    }
  }

  removeUser(name: string, containerId: string): void {
    this.#db.unlink(usersOf(name), containerId);
  }

  /**
   * Fills an empty volume with what the image has at `destination`. The copy is made beside it and moved in, so that a
   * crash leaves it empty. Whatever the image has there that is no directory is not copied.
   */
  async copyUp(name: string, rootfs: number, destination: string, signal?: AbortSignal): Promise<void> {
    const found = tryOpenInRoot(rootfs, destination, O.RDONLY | O.DIRECTORY);
    if (found === undefined) return;
    using source = ownedFd(found);
    using target = ownedFd(open(this.mountpoint(name), O.RDONLY | O.DIRECTORY | O.NOFOLLOW));
    if (getdents(target.fd).length > 0) return;
    const beside = path.join(this.#root, name, '_copy');
    fs.rmSync(beside, { recursive: true, force: true });
    fs.mkdirSync(beside, { mode: 0o700 });
    // The descriptor is the path: the mount it leads into has no other. The dot, because the last name may be no link.
    await this.#copy(`/proc/self/fd/${source.fd}/.`, beside, { signal });
    // The directory that lives in the volume takes the place of the empty one: one rename, all or nothing.
    fs.rmdirSync(this.mountpoint(name));
    const parent = open(path.join(this.#root, name), O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    try {
      renameat2(parent, '_copy', parent, '_data');
    } finally {
      close(parent);
    }
  }

  /** Errors: not-found; conflict while a container has it. */
  remove(name: string, options: { readonly force?: boolean } = {}): void {
    if (this.find(name) === undefined) {
      if (options.force === true) return;
      throw notFound(`get ${name}: no such volume`);
    }
    const users = this.users(name);
    if (users.length > 0) throw conflict(`remove ${name}: volume is in use - [${users.join(', ')}]`);
    fs.rmSync(path.join(this.#root, name), { recursive: true, force: true });
    this.#db.delete(VOLUME_KIND, name);
  }

  /** At start-up: directories of recorded volumes exist, others are moved away. */
  restore(): void {
    const recorded = new Set(this.list().map((volume) => volume.name));
    for (const name of recorded) {
      fs.rmSync(path.join(this.#root, name, '_copy'), { recursive: true, force: true });
      this.#makeDirectory(name);
    }
    for (const name of fs.readdirSync(this.#root)) if (!recorded.has(name)) this.#setAside(name);
  }

  #setAside(name: string): void {
    fs.mkdirSync(this.#lostAndFound, { recursive: true, mode: 0o700 });
    const to = path.join(this.#lostAndFound, `volume-${name}-${randomBytes(4).toString('hex')}`);
    fs.renameSync(path.join(this.#root, name), to);
    log.warn('volume without a record set aside', { volume: name, to });
  }

  toWire(volume: VolumeRecord): Volume {
    return {
      CreatedAt: volume.createdAt,
      Driver: 'local',
      Labels: volume.anonymous ? { 'com.docker.volume.anonymous': '', ...volume.labels } : { ...volume.labels },
      Mountpoint: this.mountpoint(volume.name),
      Name: volume.name,
      Options: null,
      Scope: 'local',
    };
  }
}
