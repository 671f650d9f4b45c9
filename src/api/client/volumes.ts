/** Endpoints of volumes, and our own for moving their contents. */
import type { Volume, VolumeCreateRequest, VolumeListResponse, VolumesPruneResponse } from '#api/types/volume.ts';
import { type ApiClient, encodeFilters } from './api-client.ts';
import type { FilterMap } from './containers.ts';
import type { Archive } from './images.ts';

const at = (name: string) => `/volumes/${encodeURIComponent(name)}`;
const own = (name: string, verb: string) => `/berth/volumes/${encodeURIComponent(name)}/${verb}`;

export function createVolume(client: ApiClient, request: VolumeCreateRequest): Promise<Volume> {
  return client.json('POST', '/volumes/create', { json: request });
}

export function listVolumes(client: ApiClient, filters: FilterMap): Promise<VolumeListResponse> {
  return client.json('GET', '/volumes', { query: { filters: encodeFilters(filters) } });
}

export function inspectVolume(client: ApiClient, name: string, size = false): Promise<Volume> {
  return client.json('GET', at(name), { query: { size } });
}

export function removeVolume(client: ApiClient, name: string, force: boolean): Promise<void> {
  return client.call('DELETE', at(name), { query: { force } });
}

export function pruneVolumes(client: ApiClient, filters: FilterMap): Promise<VolumesPruneResponse> {
  return client.json('POST', '/volumes/prune', { query: { filters: encodeFilters(filters) } });
}

/** A tar of what is in it. */
export async function exportVolume(client: ApiClient, name: string): Promise<ReadableStream<Uint8Array> | null> {
  return (await client.request('GET', own(name, 'export'))).body;
}

export function importVolume(client: ApiClient, name: string, archive: Archive): Promise<Volume> {
  return client.json('POST', own(name, 'import'), { body: archive });
}

export function renameVolume(client: ApiClient, name: string, to: string): Promise<void> {
  return client.call('POST', own(name, 'rename'), { query: { name: to } });
}

export function cloneVolume(client: ApiClient, name: string, to: string): Promise<Volume> {
  return client.json('POST', own(name, 'clone'), { query: { name: to } });
}
