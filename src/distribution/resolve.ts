/**
 * From a name to the manifest of one image: the tag's manifest or index, the platform's choice in it, all of them checked
 * and kept in the content store under the caller's lease, so that what is here is not fetched again.
 */
import { algorithmOf, isBlobDigest } from '#content/digest.ts';
import type { ContentStore } from '#content/content-store.ts';
import type { ContentLease } from '#content/leases.ts';
import {
  decodeManifest,
  type Descriptor,
  type Index,
  isAttestation,
  isImageManifest,
  isIndexType,
  isManifestType,
  type Manifest,
  MANIFEST_BYTES_MAX,
  MEDIA,
  type Platform,
} from '#content/descriptor.ts';
import { type BerthError, dataLoss, invalidParameter, kindOf, notFound } from '#errdefs/errors.ts';
import { bestPlatform, formatPlatform } from '#image/platform.ts';
import { familiarString, type Reference } from '#reference/reference.ts';
import { fetchManifest, findManifest, type FoundManifest } from '#registry/manifests.ts';
import { RegistryError } from '#registry/failures.ts';
import type { Repository, Session } from '#registry/registry-client.ts';

const INDEX_DEPTH_MAX = 4;

export interface FoundDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly document: Manifest | Index;
  /** The server that knows it; undefined when none was asked. */
  readonly session: Session | undefined;
}

/** What a tag or digest stands for: a manifest or an index. Errors: not-found, data-loss, … in the registry's words. */
export async function resolveTop(
  repository: Repository,
  reference: Reference,
  content: ContentStore | undefined,
): Promise<FoundDocument> {
  const wanted = reference.digest ?? reference.tag ?? 'latest';
  if (reference.digest !== undefined && !isBlobDigest(reference.digest)) {
    throw invalidParameter(`Cannot pull "${familiarString(reference)}": only sha256 and sha512 digests are supported`);
  }
  if (content !== undefined) {
    const found = reference.digest === undefined ? await digestOfTag(repository, wanted) : undefined;
    const digest = reference.digest ?? found?.digest;
    if (digest !== undefined && content.has(digest)) {
      const here = readHere(content, digest, found?.session);
      if (here !== undefined) return here;
    }
    if (digest !== undefined && reference.digest === undefined) {
      try {
        return checked(reference, await fetchManifest(repository, digest));
      } catch (error) {
        // Some serve by tag only what they do not have by digest (schema 1, proxies).
        if (!(error instanceof RegistryError) || error.status !== 404) throw error;
      }
    }
  }
  return checked(reference, await fetchManifest(repository, wanted));
}

/** A registry that has no HEAD, or refuses it, is asked for the manifest itself and says why not. */
async function digestOfTag(repository: Repository, tag: string): Promise<FoundManifest | undefined> {
  try {
    return await findManifest(repository, tag);
  } catch (error) {
    if (error instanceof RegistryError && error.status !== 429) return undefined;
    throw error;
  }
}

function readHere(content: ContentStore, digest: string, session?: Session): FoundDocument | undefined {
  try {
    const bytes = content.read(digest, MANIFEST_BYTES_MAX);
    const document = decodeManifest(bytes);
    return {
      descriptor: { mediaType: document.mediaType, digest, size: bytes.length },
      bytes,
      document,
      session,
    };
  } catch (error) {
    if (kindOf(error) === 'data-loss' || kindOf(error) === 'not-found') return undefined;
    throw error;
  }
}

interface Fetched {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: string;
  readonly session: Session;
}

/** The type that the registry says must be that of the content, where it says one that we know. */
function checked(reference: Reference, { bytes, mediaType, digest, session }: Fetched): FoundDocument {
  if (mediaType === MEDIA.dockerSchema1 || mediaType === MEDIA.dockerSchema1Signed) throw schema1(reference);
  let document: Manifest | Index;
  try {
    document = decodeManifest(bytes);
  } catch (error) {
    if (isSchema1(bytes)) throw schema1(reference);
    throw error;
  }
  const isKnown = isIndexType(mediaType) || isManifestType(mediaType);
  if (isKnown && isIndexType(mediaType) !== (document.kind === 'index')) {
    throw dataLoss(`invalid image manifest: "${mediaType}" is what the registry says, ${document.kind} is what it is`);
  }
  if (isKnown && bytes.includes('"mediaType"') && document.mediaType !== mediaType && hasOwnType(bytes)) {
    throw dataLoss(
      `invalid image manifest: the registry says "${mediaType}", the document itself "${document.mediaType}"`,
    );
  }
  const type = isKnown ? mediaType : document.mediaType;
  return { descriptor: { mediaType: type, digest, size: bytes.length }, bytes, document, session };
}

function hasOwnType(bytes: Buffer): boolean {
  // Decoded before, so it is JSON.
  const parsed: unknown = JSON.parse(bytes.toString('utf8'));
  return typeof parsed === 'object' && parsed !== null && 'mediaType' in parsed && typeof parsed.mediaType === 'string';
}

function isSchema1(bytes: Buffer): boolean {
  return /^\s*\{[^]{0,200}?"schemaVersion"\s*:\s*1\b/.test(bytes.subarray(0, 4096).toString('latin1'));
}

const schema1 = (reference: Reference): BerthError =>
  invalidParameter(
    `Cannot pull "${familiarString(reference)}": Docker Image manifest version 2, schema 1 is not supported: ` +
      'push the image again with Docker 1.10 or newer',
  );

/** A manifest that an index or a reference names. Errors: data-loss when it is not what the descriptor says. */
export async function fetchDocument(
  repository: Repository,
  reference: Reference,
  descriptor: Descriptor,
  options: { readonly content: ContentStore | undefined; readonly first: Session | undefined },
): Promise<FoundDocument> {
  const { content, first } = options;
  const here = content?.has(descriptor.digest) === true ? readHere(content, descriptor.digest, first) : undefined;
  if (here !== undefined) return here;
  if (descriptor.size > MANIFEST_BYTES_MAX) {
    throw dataLoss(`invalid image manifest: ${descriptor.digest} says that it has ${descriptor.size} bytes`);
  }
  const found = checked(reference, await fetchManifest(repository, descriptor.digest, first));
  if (found.bytes.length !== descriptor.size) {
    throw dataLoss(
      `invalid image manifest: ${descriptor.digest} has ${found.bytes.length} bytes, its descriptor says ${descriptor.size}`,
    );
  }
  return found;
}

export interface ChosenManifest extends FoundDocument {
  readonly document: Manifest;
}

export interface ChooseOptions {
  readonly content: ContentStore;
  readonly lease: ContentLease;
  readonly platform: Platform;
}

/** Follows an index to the manifest of the platform. Errors: not-found in Docker's words; data-loss. */
export async function choosePlatform(
  repository: Repository,
  reference: Reference,
  top: FoundDocument,
  { content, lease, platform }: ChooseOptions,
): Promise<ChosenManifest> {
  let current = top;
  const seen = new Set<string>();
  for (;;) {
    await content.put(current.bytes, lease, algorithmOf(current.descriptor.digest));
    const { document } = current;
    if (document.kind === 'manifest') {
      if (!isImageManifest(document)) throw noImage(reference, document);
      return { ...current, document };
    }
    seen.add(current.descriptor.digest);
    const chosen = bestOf(document, platform);
    if (chosen === undefined) {
      throw notFound(`no matching manifest for ${formatPlatform(platform)} in the manifest list entries`);
    }
    if (seen.size >= INDEX_DEPTH_MAX || seen.has(chosen.digest))
      throw dataLoss('invalid image index: nested too deeply');
    current = await fetchDocument(repository, reference, chosen, { content, first: current.session });
  }
}

/** An index in an index has no platform: it is followed when nothing else serves. */
function bestOf(index: Index, platform: Platform): Descriptor | undefined {
  const images = index.manifests.filter((entry) => !isAttestation(entry));
  const withPlatform = images.filter((entry) => entry.platform !== undefined && entry.platform.os !== '');
  const best = bestPlatform(platform, withPlatform, (entry) => entry.platform ?? platform);
  return best ?? images.find((entry) => !withPlatform.includes(entry));
}

function noImage(reference: Reference, { config, artifactType }: Manifest): BerthError {
  const type = artifactType ?? config.mediaType;
  return invalidParameter(
    `Cannot pull "${familiarString(reference)}": it is no image but an artifact of the type "${type.slice(0, 200)}"`,
  );
}
