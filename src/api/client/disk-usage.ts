/** Endpoints of what takes up room. */
import type {
  BuildPruneResponse,
  ContainersPruneResponse,
  DiskUsage,
  ImagesPruneResponse,
} from '#api/types/disk-usage.ts';
import type { NetworkPruneReport } from '#api/types/network.ts';
import type { VolumesPruneResponse } from '#api/types/volume.ts';
import { type ApiClient, encodeFilters } from './api-client.ts';
import type { FilterMap } from './containers.ts';

export function diskUsage(client: ApiClient): Promise<DiskUsage> {
  return client.json('GET', '/system/df');
}

export interface PruneAnswers {
  readonly containers: ContainersPruneResponse;
  readonly images: ImagesPruneResponse;
  readonly networks: NetworkPruneReport;
  readonly volumes: VolumesPruneResponse;
  readonly build: BuildPruneResponse;
}

export function prune<K extends keyof PruneAnswers>(
  client: ApiClient,
  what: K,
  filters: FilterMap,
): Promise<PruneAnswers[K]> {
  return client.json('POST', `/${what}/prune`, { query: { filters: encodeFilters(filters) } });
}
