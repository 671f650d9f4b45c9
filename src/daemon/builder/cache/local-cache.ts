/**
 * Caches in directories of this host: OCI layouts, as BuildKit writes them. The directory is a stranger's: files are
 * reached by descriptors and never through links, and everything that is read is checked against its digest.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { CACHE_CONFIG_BYTES_MAX, CACHE_CONFIG_TYPE } from '#builder/cache/cache-config.ts';
import type { CachedLayer, LoadedCache } from '#builder/request.ts';
import { digestOf } from '#content/content-store.ts';
import {
  decodeManifest,
  type Descriptor,
  isIndexType,
  isManifestType,
  MANIFEST_BYTES_MAX,
  MEDIA,
} from '#content/descriptor.ts';
import { dataLoss, invalidParameter, messageOf, notFound } from '#errdefs/errors.ts';
import { cacheManifest, type CachePush } from '#distribution/build-cache.ts';
import { chainIds } from '#layer/chain-id.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import { close, fstat, open, ownedFd, readAll } from '#sys/files.ts';
import { O, S_IF } from '#sys/numbers.ts';
import { mkdirAllInRoot, tryOpenInRoot } from '#sys/safe-path.ts';
import type { Services } from '../../services.ts';

const REF_NAME = 'org.opencontainers.image.ref.name';
const blobName = (digest: string): string => `blobs/sha256/${digest.slice('sha256:'.length)}`;

function openDirectory(directory: string): { readonly fd: number } & Disposable {
  if (!path.isAbsolute(directory)) throw invalidParameter(`the directory of a cache is absolute: ${directory}`);
  return ownedFd(open(directory, O.PATH | O.DIRECTORY));
}

/** Undefined when there is none. */
function readIn(root: number, name: string, bytesMax: number): Buffer | undefined {
  const fd = tryOpenInRoot(root, name, O.RDONLY | O.NONBLOCK);
  if (fd === undefined) return undefined;
  using file = ownedFd(fd);
  const { mode, size } = fstat(file.fd);
  if ((mode & S_IF.MT) !== S_IF.REG) throw dataLoss(`${name} is not a file`);
  if (size > bytesMax) throw dataLoss(`${name} is longer than ${bytesMax} bytes`);
  return Buffer.from(readAll(file.fd, bytesMax));
}

/** A checked blob. Errors: not-found, data-loss. */
function readBlobIn(root: number, { digest, size }: Pick<Descriptor, 'digest' | 'size'>, bytesMax: number): Buffer {
  const bytes = size > bytesMax ? undefined : readIn(root, blobName(digest), bytesMax);
  if (bytes === undefined) throw notFound(`blob ${digest} is not there`);
  if (digestOf(bytes) !== digest) throw dataLoss(`verification failed for digest ${digest}`);
  return bytes;
}

/** Errors: not-found without a cache of that name; data-loss. */
export function loadLocalCache(
  services: Services,
  directory: string,
  wanted: { readonly tag: string; readonly digest: string | undefined },
): LoadedCache[] {
  using root = openDirectory(directory);
  const index = readIn(root.fd, 'index.json', MANIFEST_BYTES_MAX);
  if (index === undefined) throw notFound(`could not read ${directory}/index.json: there is no cache`);
  const entries = decodeIndex(index);
  const top =
    wanted.digest === undefined
      ? (entries.find(({ annotations }) => annotations?.[REF_NAME] === wanted.tag) ??
        entries.find(({ annotations }) => annotations?.[REF_NAME] === undefined))
      : entries.find(({ digest }) => digest === wanted.digest);
  if (top === undefined) throw notFound(`no cache ${wanted.digest ?? wanted.tag} in ${directory}`);
  const { own, layers } = partsOf(readBlobIn(root.fd, top, MANIFEST_BYTES_MAX), top.digest);
  const config = readBlobIn(root.fd, own, CACHE_CONFIG_BYTES_MAX);
  return [{ config, layers, bring: (stack, signal) => bringLocal(services, directory, stack, signal) }];
}

/** What a cache's manifest names: its configuration, and its layers. Errors: data-loss. */
export function partsOf(
  manifest: Uint8Array,
  digest: string,
): { readonly own: Descriptor; readonly layers: LoadedCache['layers'] } {
  const document = decodeManifest(manifest);
  const parts = document.kind === 'index' ? document.manifests : [document.config, ...document.layers];
  const own = parts.find(({ mediaType }) => mediaType === CACHE_CONFIG_TYPE);
  if (own === undefined) throw dataLoss(`${digest} is no cache`);
  const layers = parts.filter((descriptor) => descriptor !== own);
  return { own, layers: new Map(layers.map((descriptor) => [descriptor.digest, { descriptor, diffId: undefined }])) };
}

function decodeIndex(bytes: Uint8Array): readonly Descriptor[] {
  const document = decodeManifest(bytes);
  if (document.kind !== 'index') throw dataLoss('index.json is no index');
  return document.manifests;
}

async function bringLocal(
  services: Services,
  directory: string,
  stack: readonly CachedLayer[],
  signal: AbortSignal,
): Promise<void> {
  using root = openDirectory(directory);
  const fetch = async ({ digest }: Descriptor, to: string): Promise<void> => {
    const fd = tryOpenInRoot(root.fd, blobName(digest), O.RDONLY | O.NONBLOCK);
    if (fd === undefined) throw notFound(`cache layer ${digest} is not in ${directory}`);
    await copyDescriptor(fd, to, signal);
  };
  await bringStack(services, stack, fetch, signal);
}

/** Puts a stack of layers into the store; those that are missing are fetched, each into a file, and checked. */
export async function bringStack(
  { images: { layers, content } }: Services,
  stack: readonly CachedLayer[],
  fetch: (descriptor: Descriptor, to: string) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  using lease = layers.lease();
  using scratches = new DisposableStack();
  const chain = chainIds(stack.map(({ diffId }) => diffId));
  const sources: { diffId: CachedLayer['diffId']; blobDigest?: string; file: string }[] = [];
  for (const [index, { diffId, descriptor }] of stack.entries()) {
    const chainId = chain[index];
    if (chainId !== undefined) lease.add(chainId);
    if (chainId !== undefined && layers.get(chainId) !== undefined) {
      sources.push({ diffId, file: '' });
      continue;
    }
    const scratch = scratches.use(content.scratch());
    await fetch(descriptor, scratch.path);
    sources.push({ diffId, blobDigest: descriptor.digest, file: scratch.path });
  }
  failpoint('build.cache-fetched');
  using contentLease = content.lease({ purpose: 'build cache' });
  await layers.register(sources, { lease, signal, keep: (files) => content.keep(files, contentLease) });
}

/** `fd` is closed with it. */
async function copyDescriptor(fd: number, to: string, signal: AbortSignal): Promise<void> {
  const { mode } = fstat(fd);
  if ((mode & S_IF.MT) !== S_IF.REG) {
    close(fd);
    throw dataLoss('a layer of a cache is not a file');
  }
  // Plain descriptors of ours are what streams of Node know, too.
  const from = fs.createReadStream('', { fd, autoClose: true });
  await pipeline(from, fs.createWriteStream(to, { flags: 'wx', mode: 0o600 }), { signal });
}

/** What the directory has of other tags stays; what no index names any more goes. */
export async function storeLocalCache(
  services: Services,
  directory: string,
  tag: string,
  push: CachePush,
): Promise<void> {
  if (!path.isAbsolute(directory)) throw invalidParameter(`the directory of a cache is absolute: ${directory}`);
  fs.mkdirSync(directory, { recursive: true, mode: 0o755 });
  using root = openDirectory(directory);
  const { dev, ino } = fstat(root.fd);
  await services.builder.parts.cacheWriters.run(`${dev}:${ino}`, () => store(services, root.fd, tag, push));
}

async function store({ images: { content } }: Services, root: number, tag: string, push: CachePush): Promise<void> {
  const { uid, gid } = fstat(root);
  using blobs = ownedFd(mkdirAllInRoot(root, 'blobs/sha256', { made: (fd) => giveTo(fd, uid, gid) }));
  const owner = { uid, gid };
  for (const { descriptor, ready } of push.layers) {
    const name = descriptor.digest.slice('sha256:'.length);
    if (hasSize(blobs.fd, name, descriptor.size)) {
      // It is new again for whoever looks for what is old.
      fs.lutimesSync(`/proc/self/fd/${blobs.fd}/${name}`, new Date(), new Date());
      continue;
    }
    await ready();
    await put(blobs.fd, name, owner, (fd) =>
      fs.promises.copyFile(content.path(descriptor.digest), `/proc/self/fd/${fd}`),
    );
    failpoint('build.cache-blob');
  }
  const putBytes = async (directoryFd: number, name: string, bytes: Uint8Array): Promise<void> =>
    put(directoryFd, name, owner, async (fd) => fs.writeSync(fd, bytes));
  const putBlob = async (bytes: Uint8Array): Promise<{ digest: string; size: number }> => {
    const digest = digestOf(bytes);
    await putBytes(blobs.fd, digest.slice('sha256:'.length), bytes);
    return { digest, size: bytes.length };
  };
  const config = { mediaType: CACHE_CONFIG_TYPE, ...(await putBlob(push.config)) };
  const manifest = cacheManifest(push, config);
  const mediaType = push.imageManifest ? MEDIA.manifest : push.ociTypes ? MEDIA.index : MEDIA.dockerIndex;
  const top = { mediaType, ...(await putBlob(manifest)), annotations: { [REF_NAME]: tag } };
  const before = readIn(root, 'index.json', MANIFEST_BYTES_MAX);
  const others =
    before === undefined ? [] : decodeIndex(before).filter(({ annotations }) => annotations?.[REF_NAME] !== tag);
  await putBytes(root, 'oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  const index = { schemaVersion: 2, mediaType: MEDIA.index, manifests: [...others, top] };
  failpoint('build.cache-index');
  await putBytes(root, 'index.json', Buffer.from(JSON.stringify(index)));
  removeUnnamed(root, blobs.fd, index.manifests);
}

/** Others that write into the directory name what they have written at their end. */
const UNNAMED_MS_MAX = 10 * 60_000;
const TEMPORARY = /^\.tmp-[0-9a-f]{16}$/;

/** Blobs that no index names, and what writers that died have left. Where a document cannot be read, nothing goes. */
function removeUnnamed(root: number, blobs: number, tops: readonly Descriptor[]): void {
  const named = new Set<string>();
  try {
    for (const top of tops) nameAll(root, top, named, 0);
  } catch (error) {
    log.info('a directory of a cache is not tidied up', { err: messageOf(error) });
    return;
  }
  const oldest = Date.now() - UNNAMED_MS_MAX;
  const tidy = (directory: number, isOurs: (name: string) => boolean): void => {
    const at = `/proc/self/fd/${directory}`;
    for (const name of fs.readdirSync(at)) {
      if (!isOurs(name)) continue;
      const status = fs.lstatSync(`${at}/${name}`, { throwIfNoEntry: false });
      if (status?.isFile() === true && status.mtimeMs < oldest) fs.rmSync(`${at}/${name}`, { force: true });
    }
  };
  tidy(root, (name) => TEMPORARY.test(name));
  tidy(blobs, (name) => TEMPORARY.test(name) || (/^[0-9a-f]{64}$/.test(name) && !named.has(`sha256:${name}`)));
}

const DEPTH_MAX = 4;

/** Errors: not-found, data-loss. */
function nameAll(root: number, descriptor: Descriptor, named: Set<string>, depth: number): void {
  named.add(descriptor.digest);
  if (!isIndexType(descriptor.mediaType) && !isManifestType(descriptor.mediaType)) return;
  if (depth > DEPTH_MAX) throw dataLoss('an index in an index in an index');
  const document = decodeManifest(readBlobIn(root, descriptor, MANIFEST_BYTES_MAX));
  const parts = document.kind === 'index' ? document.manifests : [document.config, ...document.layers];
  for (const part of parts) nameAll(root, part, named, depth + 1);
}

function giveTo(fd: number, uid: number, gid: number): void {
  fs.chownSync(`/proc/self/fd/${fd}/.`, uid, gid);
}

function hasSize(directory: number, name: string, size: number): boolean {
  const status = fs.lstatSync(`/proc/self/fd/${directory}/${name}`, { throwIfNoEntry: false });
  return status?.isFile() === true && status.size === size;
}

/** Appears whole, in a directory that is open, so no link leads it elsewhere. */
async function put(
  directory: number,
  name: string,
  { uid, gid }: { readonly uid: number; readonly gid: number },
  write: (fd: number) => Promise<unknown>,
): Promise<void> {
  const at = `/proc/self/fd/${directory}`;
  const temporary = `${at}/.tmp-${randomBytes(8).toString('hex')}`;
  const flags = fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_RDWR | fs.constants.O_NOFOLLOW;
  const fd = fs.openSync(temporary, flags, 0o644);
  try {
    await write(fd);
    fs.fchownSync(fd, uid, gid);
    fs.fchmodSync(fd, 0o644);
    fs.fsyncSync(fd);
    fs.renameSync(temporary, `${at}/${name}`);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  } finally {
    fs.closeSync(fd);
  }
}
