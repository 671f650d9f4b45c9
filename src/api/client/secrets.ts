/** Endpoints of secrets. */
import type { Secret } from '#api/types/secret.ts';
import { type ApiClient, encodeFilters } from './api-client.ts';
import type { FilterMap } from './containers.ts';

const at = (name: string) => `/berth/secrets/${encodeURIComponent(name)}`;

export function createSecret(
  client: ApiClient,
  value: Uint8Array,
  o: { name: string; labels: Readonly<Record<string, string>>; replace: boolean },
): Promise<{ ID: string }> {
  const query = { name: o.name, labels: JSON.stringify(o.labels), replace: o.replace };
  return client.json('POST', '/berth/secrets/create', { query, body: value });
}

export function listSecrets(client: ApiClient, filters: FilterMap): Promise<Secret[]> {
  return client.json('GET', '/berth/secrets', { query: { filters: encodeFilters(filters) } });
}

export function inspectSecret(client: ApiClient, name: string): Promise<Secret> {
  return client.json('GET', at(name));
}

export function removeSecret(client: ApiClient, name: string): Promise<void> {
  return client.call('DELETE', at(name));
}
