/** Caches in directories of the client (`type=local`), by the store of blobs that its session serves for each. */
import * as fs from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { SessionContent } from '#builder/buildkit/session-content.ts';
import type { Session } from '#builder/buildkit/session.ts';
import { CACHE_CONFIG_BYTES_MAX, CACHE_CONFIG_TYPE } from '#builder/cache/cache-config.ts';
import type { LoadedCache } from '#builder/request.ts';
import { digestOf } from '#content/content-store.ts';
import { MANIFEST_BYTES_MAX, MEDIA } from '#content/descriptor.ts';
import { cacheManifest, type CachePush } from '#distribution/build-cache.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { bringStack, partsOf } from '../builder/cache/local-cache.ts';
import type { Services } from '../services.ts';

const storeOf = (session: Session, directory: string) => new SessionContent(session, `local:${directory}`);

/** The client says which of the directory's caches is meant. Errors: not-found, data-loss. */
export async function loadSessionCache(
  services: Services,
  session: Session,
  directory: string,
  digest: string,
  signal: AbortSignal,
): Promise<readonly LoadedCache[]> {
  if (digest === '') throw invalidParameter(`local cache importer requires explicit digest of a cache in ${directory}`);
  const store = storeOf(session, directory);
  const size = await store.size(digest, signal);
  const { own, layers } = partsOf(await store.document({ digest, size }, MANIFEST_BYTES_MAX, signal), digest);
  const config = await store.document(own, CACHE_CONFIG_BYTES_MAX, signal);
  const bring: LoadedCache['bring'] = (stack, ended) =>
    bringStack(
      services,
      stack,
      (blob, to) =>
        pipeline(store.read(blob, ended), fs.createWriteStream(to, { flags: 'wx', mode: 0o600 }), { signal: ended }),
      ended,
    );
  return [{ config, layers, bring }];
}

/** What the client's index is to name: a descriptor as JSON. Errors: those of the client. */
export async function storeSessionCache(
  { images: { content } }: Services,
  session: Session,
  directory: string,
  push: CachePush,
  signal: AbortSignal,
): Promise<string> {
  const store = storeOf(session, directory);
  for (const { descriptor, ready } of push.layers) {
    if (await store.has(descriptor, signal)) continue;
    await ready();
    await store.write(descriptor, Bun.file(content.path(descriptor.digest)).stream(), signal);
  }
  const put = async (bytes: Uint8Array): Promise<{ digest: string; size: number }> => {
    const blob = { digest: digestOf(bytes), size: bytes.length };
    const once = async function* () {
      yield bytes;
    };
    await store.write(blob, once(), signal);
    return blob;
  };
  const manifest = cacheManifest(push, { mediaType: CACHE_CONFIG_TYPE, ...(await put(push.config)) });
  const mediaType = push.imageManifest ? MEDIA.manifest : push.ociTypes ? MEDIA.index : MEDIA.dockerIndex;
  return JSON.stringify({ mediaType, ...(await put(manifest)) });
}
