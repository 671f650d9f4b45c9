/** Caches that a build writes: into registries and directories of this host. */
import { DEFAULT_COMPRESSION } from '#builder/finishing.ts';
import type { CacheTarget, LoginSource } from '#builder/request.ts';
import type { CachePush } from '#distribution/build-cache.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { familiarString, parseReference, withDefaultTag } from '#reference/reference.ts';
import { decodeCredentials } from '#registry/credentials.ts';
import type { Services } from '../../services.ts';
import { locationsOf } from '../../image/where.ts';
import { type CacheSpec, checkTargetSpec, compressionOf, flagOf, modeOf } from './cache-spec.ts';

export interface CacheTargets {
  readonly targets: readonly CacheTarget[];
  /** `type=inline` is among them. */
  readonly inline: boolean;
}

/** Of a client whose directories are not this host's. */
export type StoreLocal = (directory: string, push: CachePush, signal: AbortSignal) => Promise<void>;

/** Errors: invalid-parameter, not-implemented for types that are not there; forbidden for blocked registries. */
export function cacheTargetsOf(
  services: Services,
  specs: readonly CacheSpec[],
  logins: LoginSource,
  storeLocal?: StoreLocal,
): CacheTargets {
  for (const spec of specs) checkTargetSpec(spec);
  return {
    targets: specs.filter(({ type }) => type !== 'inline').map((spec) => targetOf(services, spec, logins, storeLocal)),
    inline: specs.some(({ type }) => type === 'inline'),
  };
}

function targetOf(
  services: Services,
  { type, attributes }: CacheSpec,
  logins: LoginSource,
  storeLocal: StoreLocal | undefined,
): CacheTarget {
  const common = {
    mode: modeOf(attributes),
    compression: compressionOf(attributes) ?? DEFAULT_COMPRESSION,
    ignoreErrors: flagOf(attributes, 'ignore-error', false),
  };
  const form = {
    imageManifest: flagOf(attributes, 'image-manifest', true),
    ociTypes: flagOf(attributes, 'oci-mediatypes', true),
  };
  if (form.imageManifest && !form.ociTypes)
    throw invalidParameter('image-manifest=true needs oci-mediatypes=true: Docker has no types for a cache');
  if (type === 'local') {
    const directory = attributes.get('dest') ?? '';
    const tag = attributes.get('tag') ?? 'latest';
    return {
      ...common,
      name: `local directory ${directory}`,
      store: async (config, layers, signal) => {
        if (storeLocal !== undefined) return storeLocal(directory, { config, layers, ...form }, signal);
        const { storeLocalCache } = await import('./local-cache.ts');
        await storeLocalCache(services, directory, tag, { config, layers, ...form });
      },
    };
  }
  const reference = withDefaultTag(parseReference(attributes.get('ref') ?? ''));
  if (reference.digest !== undefined) throw invalidParameter('a cache cannot be exported to a digest');
  return {
    ...common,
    name: familiarString(reference),
    store: async (config, layers, signal) => {
      const { pushCache } = await import('#distribution/build-cache.ts');
      // Refuses what is blocked; what is pushed goes where its name says.
      locationsOf(services.registriesConf(), reference);
      const distribution = await services.distribution();
      const credentials = decodeCredentials(await logins.login(reference.domain, signal));
      const repository = await distribution.repository(reference, credentials, signal);
      using lease = services.images.content.lease({ purpose: `build cache to ${familiarString(reference)}` });
      await pushCache(distribution.means, repository, reference.tag ?? 'latest', { config, layers, ...form }, lease);
    },
  };
}
