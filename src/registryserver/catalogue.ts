/**
 * What repositories have: manifests, tags, and the blobs that were pushed to them. It is in memory as a whole (some 300
 * bytes an entry), because every request asks it, and in the database, because a 201 must outlive a power failure.
 *
 * Invariants: memory and database change together, and all changes of one request are one transaction; a manifest is
 * recorded after its bytes are on the disk. `references` counts who needs a blob: links, manifests that name it, and
 * manifests that are it. A blob file without references is garbage once it is old enough.
 */
import { dataLoss } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import { isObject } from './manifest.ts';
import { SortedNames } from './sorted-names.ts';

const MANIFEST = 'registry-manifest';
const TAG = 'registry-tag';
const LINK = 'registry-blob';

export interface ManifestRecord {
  readonly mediaType: string;
  readonly size: number;
  readonly blobs: readonly string[];
  readonly manifests: readonly string[];
  readonly subject: string | undefined;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
  /** Milliseconds since the epoch. */
  readonly pushedMs: number;
}

export interface TagRecord {
  readonly digest: string;
  /** When it was pushed, or last seen upstream. */
  readonly atMs: number;
}

export class Repository {
  readonly name: string;
  readonly manifests = new Map<string, ManifestRecord>();
  readonly tags = new Map<string, TagRecord>();
  readonly tagNames = new SortedNames();
  /** Digest → when it was last pushed, mounted or asked for. */
  readonly links = new Map<string, number>();
  /** Subject → manifests that refer to it. */
  readonly referrers = new Map<string, Set<string>>();

  constructor(name: string) {
    this.name = name;
  }

  get isEmpty(): boolean {
    return this.manifests.size === 0 && this.tags.size === 0 && this.links.size === 0;
  }
}

export class Catalogue {
  readonly #db: GraphDb;
  readonly #repositories = new Map<string, Repository>();
  readonly #names = new SortedNames();
  readonly #references = new Map<string, number>();

  private constructor(db: GraphDb) {
    this.#db = db;
  }

  static open(db: GraphDb): Catalogue {
    const catalogue = new Catalogue(db);
    for (const { id, document } of db.list(MANIFEST)) {
      const [name, digest] = split(id, '@');
      catalogue.#addManifest(catalogue.#made(name), digest, decodeManifest(id, document));
    }
    for (const { id, document } of db.list(TAG)) {
      const [name, tag] = split(id, ':');
      catalogue.#addTag(catalogue.#made(name), tag, decodeTag(id, document));
    }
    for (const { id, document } of db.list(LINK)) {
      const [name, digest] = split(id, '@');
      catalogue.#addLink(catalogue.#made(name), digest, decodeLink(id, document));
    }
    return catalogue;
  }

  get names(): SortedNames {
    return this.#names;
  }

  repository(name: string): Repository | undefined {
    return this.#repositories.get(name);
  }

  *repositories(): Iterable<Repository> {
    yield* this.#repositories.values();
  }

  /** How many need this blob. */
  references(digest: string): number {
    return this.#references.get(digest) ?? 0;
  }

  link(name: string, digest: string, atMs: number): void {
    if (this.repository(name)?.links.has(digest) === true) return this.touch(name, digest, atMs);
    this.#db.put(LINK, `${name}@${digest}`, { atMs });
    this.#addLink(this.#made(name), digest, atMs);
  }

  /** Somebody counts on this blob: it is not collected before the grace time is over again. In memory only. */
  touch(name: string, digest: string, atMs: number): void {
    const links = this.repository(name)?.links;
    if (links?.has(digest) === true) links.set(digest, atMs);
  }

  unlink(name: string, digest: string): boolean {
    const repository = this.repository(name);
    if (repository?.links.has(digest) !== true) return false;
    this.#db.delete(LINK, `${name}@${digest}`);
    repository.links.delete(digest);
    this.#count(digest, -1);
    this.#forgetIfEmpty(repository);
    return true;
  }

  /** Durable when it returns. */
  putManifest(name: string, digest: string, record: ManifestRecord, tag: string | undefined): void {
    const { pushedMs } = record;
    this.#db.transaction(
      () => {
        this.#db.put(MANIFEST, `${name}@${digest}`, record);
        if (tag !== undefined) this.#db.put(TAG, `${name}:${tag}`, { digest, atMs: pushedMs });
      },
      { durable: true },
    );
    const repository = this.#made(name);
    this.#dropManifest(repository, digest);
    this.#addManifest(repository, digest, record);
    if (tag !== undefined) this.#addTag(repository, tag, { digest, atMs: pushedMs });
  }

  /** A manifest of a cache was asked for: it counts as new. May be forgotten by a power failure. */
  noteUse(name: string, digest: string, atMs: number): void {
    const repository = this.repository(name);
    const record = repository?.manifests.get(digest);
    if (repository === undefined || record === undefined) return;
    const used = { ...record, pushedMs: atMs };
    this.#db.put(MANIFEST, `${name}@${digest}`, used);
    repository.manifests.set(digest, used);
  }

  putTag(name: string, tag: string, record: TagRecord): void {
    this.#db.put(TAG, `${name}:${tag}`, record);
    this.#addTag(this.#made(name), tag, record);
  }

  /** With the tags that mean it. False when there is none. */
  deleteManifest(name: string, digest: string): boolean {
    const repository = this.repository(name);
    if (repository?.manifests.has(digest) !== true) return false;
    const tags = [...repository.tags].filter(([, record]) => record.digest === digest).map(([tag]) => tag);
    this.#db.transaction(
      () => {
        this.#db.delete(MANIFEST, `${name}@${digest}`);
        for (const tag of tags) this.#db.delete(TAG, `${name}:${tag}`);
      },
      { durable: true },
    );
    this.#dropManifest(repository, digest);
    for (const tag of tags) this.#dropTag(repository, tag);
    this.#forgetIfEmpty(repository);
    return true;
  }

  deleteTag(name: string, tag: string): boolean {
    const repository = this.repository(name);
    if (repository?.tags.has(tag) !== true) return false;
    this.#db.transaction(() => this.#db.delete(TAG, `${name}:${tag}`), { durable: true });
    this.#dropTag(repository, tag);
    this.#forgetIfEmpty(repository);
    return true;
  }

  #made(name: string): Repository {
    let repository = this.#repositories.get(name);
    if (repository === undefined) {
      repository = new Repository(name);
      this.#repositories.set(name, repository);
      this.#names.add(name);
    }
    return repository;
  }

  #forgetIfEmpty(repository: Repository): void {
    if (!repository.isEmpty) return;
    this.#repositories.delete(repository.name);
    this.#names.delete(repository.name);
  }

  #addManifest(repository: Repository, digest: string, record: ManifestRecord): void {
    repository.manifests.set(digest, record);
    this.#count(digest, 1);
    for (const needed of [...record.blobs, ...record.manifests]) this.#count(needed, 1);
    if (record.subject === undefined) return;
    const referrers = repository.referrers.get(record.subject) ?? new Set();
    repository.referrers.set(record.subject, referrers.add(digest));
  }

  #dropManifest(repository: Repository, digest: string): void {
    const record = repository.manifests.get(digest);
    if (record === undefined) return;
    repository.manifests.delete(digest);
    this.#count(digest, -1);
    for (const needed of [...record.blobs, ...record.manifests]) this.#count(needed, -1);
    if (record.subject === undefined) return;
    const referrers = repository.referrers.get(record.subject);
    referrers?.delete(digest);
    if (referrers?.size === 0) repository.referrers.delete(record.subject);
  }

  #addTag(repository: Repository, tag: string, record: TagRecord): void {
    if (!repository.tags.has(tag)) repository.tagNames.add(tag);
    repository.tags.set(tag, record);
  }

  #dropTag(repository: Repository, tag: string): void {
    repository.tags.delete(tag);
    repository.tagNames.delete(tag);
  }

  #addLink(repository: Repository, digest: string, atMs: number): void {
    if (!repository.links.has(digest)) this.#count(digest, 1);
    repository.links.set(digest, atMs);
  }

  #count(digest: string, by: number): void {
    const count = this.references(digest) + by;
    if (count > 0) this.#references.set(digest, count);
    else this.#references.delete(digest);
  }
}

/** Neither `@` nor `:` can be in a repository's name, and a digest follows the first `@`. */
function split(id: string, separator: string): [string, string] {
  const at = id.indexOf(separator);
  if (at <= 0) throw dataLoss(`Cannot read the registry's record "${id}": its name is damaged`);
  return [id.slice(0, at), id.slice(at + 1)];
}

const damaged = (id: string) => dataLoss(`Cannot read the registry's record "${id}": it is damaged`);

const texts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((entry) => typeof entry === 'string');

function decodeManifest(id: string, document: unknown): ManifestRecord {
  if (!isObject(document)) throw damaged(id);
  const { mediaType, size, blobs, manifests, subject, artifactType, annotations, pushedMs } = document;
  if (typeof mediaType !== 'string' || typeof size !== 'number' || typeof pushedMs !== 'number') throw damaged(id);
  if (!texts(blobs) || !texts(manifests)) throw damaged(id);
  return {
    mediaType,
    size,
    blobs,
    manifests,
    subject: typeof subject === 'string' ? subject : undefined,
    artifactType: typeof artifactType === 'string' ? artifactType : undefined,
    // as: written by `readManifest`, which keeps texts only.
    annotations: isObject(annotations) ? (annotations as Record<string, string>) : undefined,
    pushedMs,
  };
}

function decodeTag(id: string, document: unknown): TagRecord {
  if (!isObject(document)) throw damaged(id);
  const { digest, atMs } = document;
  if (typeof digest !== 'string' || typeof atMs !== 'number') throw damaged(id);
  return { digest, atMs };
}

function decodeLink(id: string, document: unknown): number {
  if (!isObject(document) || typeof document['atMs'] !== 'number') throw damaged(id);
  return document['atMs'];
}
