/** `GET /distribution/NAME/json`: what a name stands for in its registry, without pulling it. */
import { algorithmOf } from '#content/digest.ts';
import type { DistributionInspect } from '#api/types/image.ts';
import { type Descriptor, isAttestation, type Platform } from '#content/descriptor.ts';
import { CONFIG_BYTES_MAX, decodeImageConfig } from '#image/config.ts';
import { platformOfConfig } from '#image/variants.ts';
import { digestOf } from '#content/content-store.ts';
import { dataLoss, notFound } from '#errdefs/errors.ts';
import { isImageManifest } from '#content/descriptor.ts';
import type { Reference } from '#reference/reference.ts';
import { readBlob } from '#registry/blobs.ts';
import { RegistryError } from '#registry/failures.ts';
import type { Repository } from '#registry/registry-client.ts';
import { translatePull } from './pull-failures.ts';
import { type FoundDocument, resolveTop } from './resolve.ts';

/** Errors: not-found, unauthorized, unavailable … */
export async function inspectDistribution(repository: Repository, reference: Reference): Promise<DistributionInspect> {
  try {
    const top = await resolveTop(repository, reference, undefined);
    const { mediaType, digest, size } = top.descriptor;
    return {
      Descriptor: { mediaType, digest, size },
      Platforms: (await platformsOf(repository, top)).map(wirePlatform),
    };
  } catch (error) {
    // Here dockerd repeats what the registry says.
    if (error instanceof RegistryError && error.has('MANIFEST_UNKNOWN'))
      throw notFound(error.message, { cause: error });
    throw translatePull(error, reference);
  }
}

async function platformsOf(repository: Repository, { document, session }: FoundDocument): Promise<Platform[]> {
  if (document.kind === 'index') {
    return document.manifests.flatMap((entry: Descriptor) =>
      entry.platform === undefined || isAttestation(entry) ? [] : [entry.platform],
    );
  }
  if (!isImageManifest(document)) return [];
  const { digest, size } = document.config;
  if (size > CONFIG_BYTES_MAX) throw dataLoss(`invalid image manifest: the configuration has ${size} bytes`);
  const bytes = await readBlob(repository, { digest, size }, session);
  if (digestOf(bytes, algorithmOf(digest)) !== digest)
    throw dataLoss(`image config verification failed for digest ${digest}`);
  return [platformOfConfig(decodeImageConfig(bytes))];
}

function wirePlatform(platform: Platform): DistributionInspect['Platforms'][number] {
  const { os, architecture, variant } = platform;
  const version = platform['os.version'];
  const features = platform['os.features'];
  return {
    architecture,
    os,
    ...(version === undefined ? {} : { 'os.version': version }),
    ...(features === undefined ? {} : { 'os.features': [...features] }),
    ...(variant === undefined ? {} : { variant }),
  };
}
