/** `GET /version`. */
import type { SystemVersion } from '#api/types/system.ts';
import type { Services } from '../services.ts';

const API_VERSION = '1.51';
const API_VERSION_MIN = '1.24';

export function systemVersion(services: Pick<Services, 'host' | 'build'>): SystemVersion {
  const { host, build } = services;
  const details = {
    ApiVersion: API_VERSION,
    Arch: host.architecture,
    BuildTime: build.time,
    Experimental: 'false',
    GitCommit: build.commit,
    GoVersion: `bun${Bun.version}`,
    KernelVersion: host.kernel,
    MinAPIVersion: API_VERSION_MIN,
    Os: 'linux',
  };
  return {
    Platform: { Name: 'Berth' },
    Components: [{ Name: 'Engine', Version: build.version, Details: details }],
    Version: build.version,
    ApiVersion: API_VERSION,
    MinAPIVersion: API_VERSION_MIN,
    GitCommit: build.commit,
    // Clients print it as the toolchain; there is no Go here.
    GoVersion: `bun${Bun.version}`,
    Os: 'linux',
    Arch: host.architecture,
    KernelVersion: host.kernel,
    BuildTime: build.time,
  };
}
