/**
 * `oci-layout://` contexts: an image in a directory of the client, by the store of blobs that its session serves. It
 * becomes an image of the store without a name; layers that are here are not sent.
 */
import { endOfArchive, formatEntry, padding, plainEntry } from '#pkg/archive/writer.ts';
import { type BlobName, SessionContent } from '#builder/buildkit/session-content.ts';
import type { Session } from '#builder/buildkit/session.ts';
import { decodeManifest, type Descriptor, type Manifest, MANIFEST_BYTES_MAX, MEDIA } from '#content/descriptor.ts';
import { dataLoss, invalidParameter, notFound } from '#errdefs/errors.ts';
import { CONFIG_BYTES_MAX } from '#image/config.ts';
import { loadImages } from '#image/load.ts';
import { bestPlatform, formatPlatform, hostPlatform, parsePlatform } from '#image/platform.ts';
import type { Services } from '../services.ts';

const SCHEME = 'oci-layout://';

export const isOciLayout = (context: string): boolean => context.startsWith(SCHEME);

/** The image's id. `platform`: '' for the host's. Errors: not-found, data-loss; invalid-parameter without a digest. */
export async function loadOciLayout(
  services: Services,
  session: Session,
  { context, platform }: { readonly context: string; readonly platform: string },
  signal: AbortSignal,
): Promise<string> {
  const match = /^(?<store>[^/@:]+)(?:[:/][^@]*)?@(?<digest>sha256:[0-9a-f]{64})$/.exec(context.slice(SCHEME.length));
  const { store: name, digest } = match?.groups ?? {};
  if (name === undefined || digest === undefined) {
    throw invalidParameter(`could not parse oci-layout reference ${JSON.stringify(context)}: it needs a digest`);
  }
  const store = new SessionContent(session, `oci:${name}`);
  const manifest = await manifestOf(store, digest, platform, signal);
  const configBytes = await store.document(manifest.config, CONFIG_BYTES_MAX, signal);
  const { content } = services.images;
  using lease = content.lease({ purpose: 'image of a client' });
  // Named before it is looked for: what is here then stays until the image has it.
  for (const { digest: layer } of manifest.layers) lease.add(layer);
  const missing = manifest.layers.filter((layer) => !content.has(layer.digest));
  const archive = archiveOf(store, { manifest, configBytes, missing }, signal);
  const tell = async () => undefined;
  const [loaded] = await loadImages(services.images, { archive, quiet: true, partial: true, tell, signal });
  if (loaded === undefined) throw dataLoss(`${context} has no image`);
  return loaded.id;
}

interface Found extends Manifest {
  readonly bytes: Buffer;
  readonly descriptor: Descriptor;
}

async function manifestOf(
  store: SessionContent,
  digest: string,
  platform: string,
  signal: AbortSignal,
): Promise<Found> {
  const size = await store.size(digest, signal);
  const bytes = await store.document({ digest, size }, MANIFEST_BYTES_MAX, signal);
  const document = decodeManifest(bytes);
  if (document.kind === 'manifest') {
    return { ...document, bytes, descriptor: { mediaType: document.mediaType || MEDIA.manifest, digest, size } };
  }
  const wanted = platform === '' ? hostPlatform() : parsePlatform(platform);
  const offered = document.manifests.filter((one) => one.platform?.os !== 'unknown');
  const best = bestPlatform(wanted, offered, (one) => one.platform ?? wanted);
  if (best === undefined) throw notFound(`no match for platform in manifest: ${formatPlatform(wanted)}`);
  const own = await store.document(best, MANIFEST_BYTES_MAX, signal);
  const manifest = decodeManifest(own);
  if (manifest.kind !== 'manifest') throw dataLoss(`${best.digest} is no manifest`);
  return { ...manifest, bytes: own, descriptor: best };
}

/** An OCI archive, without what is not missing. */
async function* archiveOf(
  store: SessionContent,
  { manifest, configBytes, missing }: { manifest: Found; configBytes: Buffer; missing: readonly BlobName[] },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { mediaType, digest, size } = manifest.descriptor;
  const index = { schemaVersion: 2, mediaType: MEDIA.index, manifests: [{ mediaType, digest, size }] };
  const file = function* (name: string, bytes: Uint8Array) {
    yield formatEntry(plainEntry(name, { type: 'file', size: bytes.length }));
    yield bytes;
    yield new Uint8Array(padding(bytes.length));
  };
  yield* file('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  yield* file('index.json', Buffer.from(JSON.stringify(index)));
  yield* file(blobPath(digest), manifest.bytes);
  yield* file(blobPath(manifest.config.digest), configBytes);
  for (const layer of missing) {
    yield formatEntry(plainEntry(blobPath(layer.digest), { type: 'file', size: layer.size }));
    yield* store.read(layer, signal);
    yield new Uint8Array(padding(layer.size));
  }
  yield endOfArchive;
}

const blobPath = (digest: string): string => `blobs/sha256/${digest.slice('sha256:'.length)}`;
