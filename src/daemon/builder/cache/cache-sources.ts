/** Caches that a build reads: of registries (as their policies allow), directories of this host, images that are here. */
import type { CacheSource, LoadedCache, LoginSource } from '#builder/request.ts';
import type { Descriptor } from '#content/descriptor.ts';
import { invalidParameter, kindOf, notFound } from '#errdefs/errors.ts';
import { chainIds, type DiffId } from '#layer/chain-id.ts';
import { familiarString, parseReference, type Reference, withDefaultTag } from '#reference/reference.ts';
import { decodeCredentials } from '#registry/credentials.ts';
import type { Services } from '../../services.ts';
import { locationsOf } from '../../image/where.ts';
import { type CacheSpec, checkSourceSpec } from './cache-spec.ts';

export interface CacheSourceOptions {
  readonly logins: LoginSource;
  /** Names are looked up in the image store first; `only`: nowhere else, as the classic builder does. */
  readonly hereFirst: 'only' | 'yes' | 'no';
  /** Of a client whose directories are not this host's. */
  readonly loadLocal?: (directory: string, digest: string, signal: AbortSignal) => Promise<readonly LoadedCache[]>;
}

/** Errors: invalid-parameter, not-implemented for types that are not there. */
export function cacheSourcesOf(
  services: Services,
  specs: readonly CacheSpec[],
  options: CacheSourceOptions,
): CacheSource[] {
  return specs.map((spec) => {
    checkSourceSpec(spec);
    const { type, attributes } = spec;
    if (type === 'local') {
      const directory = attributes.get('src') ?? '';
      const wanted = { tag: attributes.get('tag') ?? 'latest', digest: attributes.get('digest') };
      return {
        name: `local directory ${directory}`,
        load: async (signal) => {
          if (options.loadLocal !== undefined) return options.loadLocal(directory, wanted.digest ?? '', signal);
          const { loadLocalCache } = await import('./local-cache.ts');
          return loadLocalCache(services, directory, wanted);
        },
      };
    }
    const reference = withDefaultTag(parseReference(attributes.get('ref') ?? ''));
    return {
      name: familiarString(reference),
      load: async (signal) => {
        const here = options.hereFirst === 'no' ? undefined : await cacheOfImage(services, reference);
        if (here !== undefined) return [here];
        if (options.hereFirst === 'only') return [];
        return fromRegistry(services, reference, options.logins, signal);
      },
    };
  });
}

/** Of an image whose layers are all here. Undefined when there is none, or it says nothing of its steps. */
async function cacheOfImage({ images }: Services, reference: Reference): Promise<LoadedCache | undefined> {
  const { inlineCache } = await import('#distribution/build-cache.ts');
  const id = images.lookup(reference);
  if (id === undefined) return undefined;
  const stack = images.layers.chain(images.get(id).chainId).reverse();
  const config = inlineCache(
    images.configBytes(id),
    stack.map(({ blob }) => blob),
  );
  if (config === undefined) return undefined;
  const layers = new Map(
    stack.map(({ blob, diffId }) => {
      // Only the digests count: the layer is here.
      const descriptor: Descriptor = { mediaType: '', digest: blob.digest, size: blob.size };
      return [blob.digest, { descriptor, diffId }] as const;
    }),
  );
  const bring = async (stack: readonly { readonly diffId: DiffId }[]): Promise<void> => {
    const top = chainIds(stack.map(({ diffId }) => diffId)).at(-1);
    if (top === undefined || images.layers.get(top) === undefined) throw notFound('a layer of the image has gone');
  };
  return { config, layers, bring };
}

/** The first place that has it; what its policy refuses is not asked. */
async function fromRegistry(
  services: Services,
  reference: Reference,
  logins: LoginSource,
  signal: AbortSignal,
): Promise<LoadedCache[]> {
  const { bringLayers, fetchCaches } = await import('#distribution/build-cache.ts');
  services.trust.admit(reference);
  const distribution = await services.distribution();
  const credentials = decodeCredentials(await logins.login(reference.domain, signal));
  let failure: unknown = invalidParameter(`${familiarString(reference)} is nowhere`);
  for (const location of locationsOf(services.registriesConf(), reference)) {
    const own = location.domain === reference.domain ? credentials : decodeCredentials('');
    const repository = await distribution.repository(location, own, signal);
    try {
      const caches = await fetchCaches(distribution.means, repository, location);
      return caches.map(({ config, layers, session }) => ({
        config,
        layers,
        bring: (stack, ended) => bringLayers(distribution.means, stack, { repository, session }, ended),
      }));
    } catch (error) {
      if (kindOf(error) === 'cancelled' || kindOf(error) === 'forbidden') throw error;
      failure = error;
    }
  }
  throw failure;
}
