/** Image archives for tests, in every format that `load` reads, and stores of their own to load them into. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import zlib from 'node:zlib';
import { ContentStore } from '#content/content-store.ts';
import { Graph } from '#graph/graph.ts';
import { GraphDb } from '#graphdb/graphdb.ts';
import { ProjectIds } from '#graphdb/project-ids.ts';
import type { GraphDriver } from '#graphdriver/driver.ts';
import { openGraphDriver } from '#graphdriver/open.ts';
import { LayerStore } from '#layer/layer-store.ts';
import type { TarEntry } from '#pkg/archive/entry.ts';
import { ArchivePool } from '#pkg/archive/pool.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from '#pkg/archive/writer.ts';
import { ImageStore } from '../image-store.ts';

export interface Member {
  readonly entry: TarEntry;
  readonly bytes?: Buffer;
}

export const file = (name: string, text: string | Buffer, more: Partial<TarEntry> = {}): Member => {
  const bytes = Buffer.from(text);
  return { entry: plainEntry(name, { type: 'file', size: bytes.length, ...more }), bytes };
};
export const directory = (name: string): Member => ({ entry: plainEntry(name, { type: 'directory' }) });
export const symlink = (name: string, target: string): Member => ({
  entry: plainEntry(name, { type: 'symlink', linkPath: target }),
});
export const hardlink = (name: string, target: string): Member => ({
  entry: plainEntry(name, { type: 'hardlink', linkPath: target }),
});

export function tarOf(members: readonly Member[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const { entry, bytes } of members) {
    parts.push(formatEntry(entry));
    if (bytes !== undefined) parts.push(bytes, Buffer.alloc(padding(bytes.length)));
  }
  return Buffer.concat([...parts, endOfArchive]);
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export interface TestImage {
  readonly tags: readonly string[];
  /** Plain tars. */
  readonly layers: readonly Buffer[];
  readonly config?: Readonly<Record<string, unknown>>;
  readonly more?: Readonly<Record<string, unknown>>;
}

export function configOf(image: TestImage): Buffer {
  return Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      created: '2026-01-02T03:04:05Z',
      config: image.config ?? { Cmd: ['sh'] },
      rootfs: { type: 'layers', diff_ids: image.layers.map((layer) => `sha256:${sha256(layer)}`) },
      history: image.layers.map((_, i) => ({ created: '2026-01-02T03:04:05Z', created_by: `layer ${i}` })),
      ...image.more,
    }),
  );
}

export const idOf = (image: TestImage): string => `sha256:${sha256(configOf(image))}`;

/** As Docker wrote it before 25: `<id>/layer.tar`, `<hex>.json`, a repeated layer as a link. */
export function oldDockerArchive(
  images: readonly TestImage[],
  packed: (layer: Buffer) => Buffer = (layer) => layer,
): Buffer {
  const members: Member[] = [];
  const first = new Map<string, string>();
  const manifest = images.map((image, n) => {
    const names = image.layers.map((layer, i) => {
      const id = sha256(Buffer.from(`${n} ${i} ${sha256(layer)}`));
      const name = `${id}/layer.tar`;
      members.push(directory(id), file(`${id}/VERSION`, '1.0'), file(`${id}/json`, '{"id":"x"}'));
      const known = first.get(sha256(layer));
      if (known === undefined) members.push(file(name, packed(layer)));
      else members.push(symlink(name, `../${known}`));
      first.set(sha256(layer), name);
      return name;
    });
    const config = configOf(image);
    members.push(file(`${sha256(config)}.json`, config));
    return { Config: `${sha256(config)}.json`, RepoTags: image.tags, Layers: names };
  });
  members.push(file('manifest.json', JSON.stringify(manifest)), file('repositories', '{}'));
  return tarOf(members);
}

export type Packing = 'plain' | 'gzip' | 'zstd';

export function packed(layer: Buffer, packing: Packing): Buffer {
  if (packing === 'plain') return layer;
  return packing === 'gzip' ? zlib.gzipSync(layer) : zlib.zstdCompressSync(layer);
}

const suffix: Readonly<Record<Packing, string>> = { plain: '', gzip: '+gzip', zstd: '+zstd' };

/** An OCI image layout; with `change` blobs can be damaged by name. */
export function ociLayout(
  images: readonly TestImage[],
  packing: Packing,
  change: (name: string, bytes: Buffer) => Buffer = (_, bytes) => bytes,
): Buffer {
  const members: Member[] = [file('oci-layout', '{"imageLayoutVersion":"1.0.0"}')];
  const seen = new Set<string>();
  const blob = (bytes: Buffer, mediaType: string) => {
    const name = `blobs/sha256/${sha256(bytes)}`;
    if (!seen.has(name)) members.push(file(name, change(name, bytes)));
    seen.add(name);
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const manifests = images.flatMap((image) => {
    const config = blob(configOf(image), 'application/vnd.oci.image.config.v1+json');
    const mediaType = `application/vnd.oci.image.layer.v1.tar${suffix[packing]}`;
    const layers = image.layers.map((layer) => blob(packed(layer, packing), mediaType));
    const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers }));
    const descriptor = blob(manifest, 'application/vnd.oci.image.manifest.v1+json');
    return image.tags.map((tag) => ({ ...descriptor, annotations: { 'io.containerd.image.name': tag } }));
  });
  members.push(file('index.json', JSON.stringify({ schemaVersion: 2, manifests })));
  return tarOf(members);
}

/** A stream of `bytes` in pieces. */
export async function* streamOf(bytes: Uint8Array, piece = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece);
}

/** Paths below a directory, sorted; links are not followed (readdir's `recursive` does follow them). */
export function treeOf(root: string, prefix = ''): string[] {
  return fs
    .readdirSync(root, { withFileTypes: true })
    .flatMap((entry) => {
      const name = prefix + entry.name;
      return entry.isDirectory() ? [name, ...treeOf(path.join(root, entry.name), `${name}/`)] : [name];
    })
    .sort((a, b) => (a < b ? -1 : 1));
}

export interface TestStores extends AsyncDisposable {
  readonly root: string;
  readonly db: GraphDb;
  readonly driver: GraphDriver;
  readonly pool: ArchivePool;
  readonly content: ContentStore;
  readonly layers: LayerStore;
  readonly images: ImageStore;
  readonly graph: Graph;
  /** Every file below the data root but the database's, for "nothing is left". */
  files(): string[];
}

export interface TestStoreOptions {
  readonly driver?: string;
  /** Existing data root, which is not removed then. */
  readonly root?: string;
  readonly now?: () => Date;
  readonly trashMs?: number;
}

export async function openStores(options: TestStoreOptions = {}): Promise<TestStores> {
  const root = options.root ?? fs.mkdtempSync(path.join(os.tmpdir(), 'berth-image-'));
  const pool = new ArchivePool();
  const db = GraphDb.open(path.join(root, 'graph.db'));
  const driver = openGraphDriver({ dataRoot: root, name: options.driver ?? 'overlay', pool });
  const content = ContentStore.open(path.join(root, 'content'));
  const layers = LayerStore.open({
    driver,
    db,
    pool,
    lostAndFound: path.join(root, 'lost+found'),
    projects: new ProjectIds(db, root),
  });
  const images = ImageStore.open({ content, layers, db, now: options.now ?? (() => new Date()) });
  const graph = new Graph({ images, layers, db, trashMs: () => options.trashMs ?? 0 });
  await graph.reconcile();
  return {
    root,
    db,
    driver,
    pool,
    content,
    layers,
    images,
    graph,
    files: () => {
      // What the daemon does some time later.
      content.collect();
      return treeOf(root).filter((name) => !/^(?:graph\.db|(?:overlay|vfs|content)\/trash\/)/.test(name));
    },
    [Symbol.asyncDispose]: async () => {
      await content.close();
      await driver.close();
      pool.close();
      db.close();
      if (options.root === undefined) fs.rmSync(root, { recursive: true, force: true });
    },
  };
}

export interface TestPlatform {
  /** `linux/arm64`. */
  readonly platform: string;
  readonly image: TestImage;
  /** A document that speaks of this platform's image. */
  readonly attestation?: string;
}

/** An OCI image layout of one index with several platforms, as buildx writes it; the digest of the index. */
export function platformLayout(name: string, platforms: readonly TestPlatform[]): { archive: Buffer; digest: string } {
  const members = new Map<string, Buffer>();
  const blob = (bytes: Buffer, mediaType: string) => {
    members.set(`blobs/sha256/${sha256(bytes)}`, bytes);
    return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length };
  };
  const manifestOf = (config: Buffer, layers: readonly unknown[]) =>
    blob(
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          config: blob(config, 'application/vnd.oci.image.config.v1+json'),
          layers,
        }),
      ),
      'application/vnd.oci.image.manifest.v1+json',
    );
  const manifests: unknown[] = [];
  for (const { platform, image, attestation } of platforms) {
    const [os = '', architecture = '', variant] = platform.split('/');
    const config = configOf({ ...image, more: { ...image.more, os, architecture, variant } });
    const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip';
    const manifest = manifestOf(
      config,
      image.layers.map((layer) => blob(packed(layer, 'gzip'), mediaType)),
    );
    manifests.push({ ...manifest, platform: { os, architecture, ...(variant === undefined ? {} : { variant }) } });
    if (attestation === undefined) continue;
    const statement = {
      ...blob(Buffer.from(attestation), 'application/vnd.in-toto+json'),
      annotations: { 'in-toto.io/predicate-type': 'https://spdx.dev/Document' },
    };
    manifests.push({
      ...manifestOf(Buffer.from('{"architecture":"unknown","os":"unknown"}'), [statement]),
      annotations: {
        'vnd.docker.reference.digest': manifest.digest,
        'vnd.docker.reference.type': 'attestation-manifest',
      },
      platform: { os: 'unknown', architecture: 'unknown' },
    });
  }
  const index = blob(
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests })),
    'application/vnd.oci.image.index.v1+json',
  );
  const named = { ...index, annotations: { 'io.containerd.image.name': name } };
  members.set('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  members.set('index.json', Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [named] })));
  return { archive: tarOf([...members].map(([path, bytes]) => file(path, bytes))), digest: index.digest };
}
