/**
 * OCI artifacts of this host: manifests whose layers are files. A name is a document in the database, its content lies in
 * the content store; what a container mounts is a tree of hard links to the blobs, made once for each manifest.
 *
 * Invariants: a name is recorded after everything that its manifest names is on the disk; trees are named by digest, so
 * what is in one never changes. Titles come from strangers: only their last part is used, and only when it is a file name.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ContentStore } from '#content/content-store.ts';
import type { ContentLease } from '#content/leases.ts';
import { type Descriptor, MANIFEST_BYTES_MAX, type Manifest, MEDIA } from '#content/descriptor.ts';
import { conflict, dataLoss, invalidParameter, notFound } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import {
  canonicalString,
  familiarString,
  parseReference,
  type Reference,
  withDefaultTag,
} from '#reference/reference.ts';

const KIND = 'artifact';
const TITLE = 'org.opencontainers.image.title';
const UNKNOWN_TYPE = 'application/vnd.unknown.artifact.v1';
const EMPTY = Buffer.from('{}');
const NAME_LENGTH_MAX = 255;

export interface ArtifactFile {
  /** As it is called in a tree; its digest when it has no usable title. */
  readonly name: string;
  readonly title: string;
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
}

export interface Artifact {
  /** `host/repository:tag`, familiar. */
  readonly name: string;
  readonly digest: string;
  readonly type: string;
  readonly size: number;
  /** ISO 8601: when it came here. */
  readonly createdAt: string;
  readonly files: readonly ArtifactFile[];
}

export interface NewFile {
  readonly title: string;
  readonly digest: string;
  readonly mediaType: string;
}

export interface ArtifactStoreOptions {
  readonly content: ContentStore;
  readonly db: GraphDb;
  /** Of the trees; on the file system of the content store. */
  readonly directory: string;
  readonly now: () => Date;
  /** Manifests that containers mount: what they need stays, whatever becomes of the names. */
  readonly inUse: () => Iterable<string>;
}

export class ArtifactStore {
  readonly #content: ContentStore;
  readonly #db: GraphDb;
  readonly #trees: string;
  readonly #now: () => Date;
  readonly #inUse: () => Iterable<string>;

  constructor(options: ArtifactStoreOptions) {
    this.#content = options.content;
    this.#db = options.db;
    this.#trees = options.directory;
    this.#now = options.now;
    this.#inUse = options.inUse;
    this.#content.addRoots((mark) => this.#mark(mark));
  }

  /** Trees that were half made, or whose artifact and containers are gone. To be called when containers are known. */
  sweep(): void {
    if (!fs.existsSync(this.#trees)) return;
    const needed = new Set([...this.#inUse(), ...this.list().map(({ digest }) => digest)]);
    for (const name of fs.readdirSync(this.#trees)) {
      if (!needed.has(`sha256:${name}`)) fs.rmSync(path.join(this.#trees, name), { recursive: true, force: true });
    }
  }

  get content(): ContentStore {
    return this.#content;
  }

  /** A damaged one is left out: pulling it again repairs it. */
  list(): Artifact[] {
    return this.#db.list(KIND).flatMap(({ id, document }) => {
      const manifest = this.#manifestOf(digestIn(document));
      return manifest === undefined ? [] : [this.#artifact(id, document, manifest)];
    });
  }

  /** By name, or `sha256:…`. Errors: not-found `No such artifact: X`. */
  get(nameOrDigest: string): Artifact {
    const found = nameOrDigest.startsWith('sha256:')
      ? this.list().find(({ digest }) => digest.startsWith(nameOrDigest))
      : this.#named(canonicalString(artifactReference(nameOrDigest)));
    if (found === undefined) throw notFound(`No such artifact: ${nameOrDigest}`);
    return found;
  }

  /** The manifest's bytes as they came. */
  manifestBytes(digest: string): Buffer {
    return this.#content.read(digest, MANIFEST_BYTES_MAX);
  }

  /**
   * Makes an artifact of files that were uploaded before, under the lease. Errors: conflict when the name is taken,
   * unless it is to be replaced; invalid-parameter.
   */
  create(
    request: {
      readonly name: string;
      readonly type: string;
      readonly annotations: Readonly<Record<string, string>>;
      readonly files: readonly NewFile[];
      readonly replace: boolean;
    },
    lease: ContentLease,
  ): Artifact {
    const reference = artifactReference(request.name);
    if (reference.digest !== undefined) {
      throw invalidParameter(
        `Cannot make artifact "${request.name}": its digest is what comes out, not what is wished`,
      );
    }
    if (request.files.length === 0) throw invalidParameter('an artifact has at least one file');
    if (!request.replace && this.#db.get(KIND, canonicalString(reference)) !== undefined) {
      throw conflict(`artifact ${familiarString(reference)} already exists: use --replace`);
    }
    const titles = new Set<string>();
    const layers = request.files.map(({ title, digest, mediaType }) => {
      const size = this.#content.size(digest);
      if (size === undefined)
        throw invalidParameter(`file ${JSON.stringify(title)} was not uploaded: no blob ${digest}`);
      if (titles.has(title)) throw invalidParameter(`two files of an artifact have the name ${JSON.stringify(title)}`);
      titles.add(title);
      return { mediaType, digest, size, annotations: { [TITLE]: title } };
    });
    const config = { mediaType: MEDIA.empty, ...this.#content.putNow(EMPTY, lease), data: EMPTY.toString('base64') };
    const manifest = {
      schemaVersion: 2,
      mediaType: MEDIA.manifest,
      artifactType: request.type === '' ? UNKNOWN_TYPE : request.type,
      config,
      layers,
      ...(Object.keys(request.annotations).length === 0 ? {} : { annotations: request.annotations }),
    };
    const { digest } = this.#content.putNow(Buffer.from(JSON.stringify(manifest)), lease);
    return this.record(reference, digest);
  }

  /** Gives a manifest a name. Preconditions: all of it is in the content store, and leased until this returns. */
  record(reference: Reference, digest: string): Artifact {
    const name = canonicalString(reference);
    const before = this.#named(name);
    const document = { digest, createdAt: this.#now().toISOString() };
    this.#db.transaction(() => this.#db.put(KIND, name, document), { durable: true });
    if (before !== undefined && before.digest !== digest) this.#dropUnnamed(before.digest);
    const made = this.#named(name);
    if (made === undefined) throw dataLoss(`the manifest of artifact ${name} is damaged`);
    return made;
  }

  /** Takes a name away, and the tree with the last one. */
  remove(name: string): void {
    const id = canonicalString(artifactReference(name));
    const found = this.#named(id);
    this.#db.delete(KIND, id);
    if (found !== undefined) this.#dropUnnamed(found.digest);
    this.#content.collectSoon();
  }

  /** All names of a manifest. */
  namesOf(digest: string): string[] {
    return this.list().flatMap((artifact) => (artifact.digest === digest ? [artifact.name] : []));
  }

  /**
   * What a container mounts: one file, or the directory with all. `wanted` is a title or digest, '' for all there are.
   * Errors: not-found when there is no such file.
   */
  mountSource(digest: string, wanted: string): { readonly path: string; readonly isFile: boolean } {
    const manifest = this.#manifestOf(digest);
    if (manifest === undefined) throw notFound(`No such artifact: ${digest}`);
    const files = filesOf(manifest);
    const directory = this.#tree(digest, files);
    if (wanted === '' && files.length !== 1) return { path: directory, isFile: false };
    const file = wanted === '' ? files[0] : files.find((one) => one.title === wanted || one.digest === wanted);
    if (file === undefined) throw notFound(`artifact ${digest} has no file ${JSON.stringify(wanted)}`);
    return { path: path.join(directory, file.name), isFile: true };
  }

  /** Hard links: removing the artifact takes nothing from a container that has it. */
  #tree(digest: string, files: readonly ArtifactFile[]): string {
    const directory = path.join(this.#trees, digest.slice('sha256:'.length));
    if (fs.existsSync(directory)) return directory;
    fs.mkdirSync(this.#trees, { recursive: true, mode: 0o711 });
    const making = fs.mkdtempSync(path.join(this.#trees, '.tmp-'));
    try {
      fs.chmodSync(making, 0o755);
      for (const { name, digest: blob } of files) {
        const file = path.join(making, name);
        fs.linkSync(this.#content.path(blob), file);
        // Programs of any user read it, and the mount is read-only.
        fs.chmodSync(file, 0o444);
      }
      fs.renameSync(making, directory);
    } catch (error) {
      fs.rmSync(making, { recursive: true, force: true });
      throw error;
    }
    return directory;
  }

  #dropUnnamed(digest: string): void {
    if (this.namesOf(digest).length > 0 || [...this.#inUse()].includes(digest)) return;
    fs.rmSync(path.join(this.#trees, digest.slice('sha256:'.length)), { recursive: true, force: true });
  }

  #named(id: string): Artifact | undefined {
    const document = this.#db.get(KIND, id);
    const manifest = document === undefined ? undefined : this.#manifestOf(digestIn(document));
    return manifest === undefined ? undefined : this.#artifact(id, document, manifest);
  }

  #artifact(id: string, document: unknown, manifest: Manifest): Artifact {
    const files = filesOf(manifest);
    const createdAt: unknown =
      typeof document === 'object' && document !== null ? Reflect.get(document, 'createdAt') : '';
    return {
      name: familiarString(parseReference(id)),
      digest: digestIn(document),
      type: manifest.artifactType ?? manifest.config.mediaType,
      size: files.reduce((sum, { size }) => sum + size, 0),
      createdAt: typeof createdAt === 'string' ? createdAt : '',
      files,
    };
  }

  /** Undefined when it is not here, or is none. */
  #manifestOf(digest: string): Manifest | undefined {
    const document = this.#content.has(digest) ? this.#content.document(digest) : undefined;
    return document?.kind === 'manifest' ? document : undefined;
  }

  #mark(mark: (digest: string) => void): void {
    const named = this.#db.list(KIND).map(({ document }) => digestIn(document));
    for (const digest of new Set([...named, ...this.#inUse()])) {
      mark(digest);
      const manifest = this.#manifestOf(digest);
      for (const blob of manifest === undefined ? [] : [manifest.config, ...manifest.layers]) mark(blob.digest);
    }
  }
}

/** `latest` when it has neither tag nor digest. Errors: invalid-parameter. */
export const artifactReference = (name: string): Reference => withDefaultTag(parseReference(name));

function digestIn(document: unknown): string {
  const digest: unknown =
    typeof document === 'object' && document !== null ? Reflect.get(document, 'digest') : undefined;
  return typeof digest === 'string' ? digest : '';
}

function filesOf(manifest: Manifest): ArtifactFile[] {
  const taken = new Set<string>();
  return manifest.layers.map((layer) => {
    const title = layer.annotations?.[TITLE] ?? '';
    const wished = fileName(title);
    const name = wished === undefined || taken.has(wished) ? plainName(layer) : wished;
    taken.add(name);
    return { name, title, digest: layer.digest, size: layer.size, mediaType: layer.mediaType };
  });
}

/** The last part of a title, when it is a name that a file can have. */
function fileName(title: string): string | undefined {
  const name = title.split('/').at(-1) ?? '';
  const usable = name !== '' && name !== '.' && name !== '..' && !/[\0-\x1f\x7f]/.test(name);
  return usable && Buffer.byteLength(name) <= NAME_LENGTH_MAX ? name : undefined;
}

const plainName = ({ digest }: Descriptor): string => digest.replace(':', '-');
