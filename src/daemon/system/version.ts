/** `GET /version`. */
import type { SystemVersion } from '#api/types/system.ts';
import type { Services } from '../services.ts';

const API_VERSION = '1.51';

export function systemVersion(services: Pick<Services, 'host' | 'build' | 'settings'>): SystemVersion {
  const { host, build } = services;
  const { experimental, minApiMinor } = services.settings.engine;
  const oldest = `1.${minApiMinor}`;
  const details = {
    ApiVersion: API_VERSION,
    Arch: host.architecture,
    BuildTime: build.time,
    Experimental: String(experimental),
    GitCommit: build.commit,
    GoVersion: `bun${Bun.version}`,
    KernelVersion: host.kernel,
    MinAPIVersion: oldest,
    Os: 'linux',
  };
  return {
    Platform: { Name: 'Berth' },
    Components: [{ Name: 'Engine', Version: build.version, Details: details }],
    Version: build.version,
    ApiVersion: API_VERSION,
    MinAPIVersion: oldest,
    GitCommit: build.commit,
    // Clients print it as the toolchain; there is no Go here.
    GoVersion: `bun${Bun.version}`,
    Os: 'linux',
    Arch: host.architecture,
    KernelVersion: host.kernel,
    ...(experimental ? { Experimental: true } : {}),
    BuildTime: build.time,
  };
}
