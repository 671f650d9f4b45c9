/** The daemon's distribution service, made when somebody first pulls: most starts of a daemon need none of it. */
import type { RegistryConfig } from '#config/registries.ts';
import type { Distribution, DistributionOptions } from '#distribution/distribution.ts';
import type { Trust } from '#image/trust/trust.ts';

/** From this size on a blob comes over several connections. */
const RANGES_FROM = 64 << 20;

export interface LazyDistribution {
  readonly get: () => Promise<Distribution>;
  close(): Promise<void>;
}

export function openDistribution(
  options: Omit<DistributionOptions, 'settings' | 'admit'> & {
    readonly trust: Trust;
    readonly registries: () => RegistryConfig;
  },
): LazyDistribution {
  let made: Promise<Distribution> | undefined;
  const make = async (): Promise<Distribution> => {
    const { Distribution } = await import('#distribution/distribution.ts');
    const { ignoreEnvironmentProxies } = await import('#registry/settings.ts');
    // They are part of the configuration (config/registries.ts), which may also say that there are none.
    ignoreEnvironmentProxies();
    const { admitBy } = await import('./admit.ts');
    const admit = admitBy(options.trust);
    return new Distribution({
      ...options,
      admit,
      settings: () => ({ ...options.registries(), rangesFrom: RANGES_FROM }),
    });
  };
  return {
    get: () => (made ??= make()),
    close: async () => (await made)?.close(),
  };
}
