/** Endpoints of networks. */
import type {
  HostNames,
  HostNamesRequest,
  NetworkUpdateRequest,
  NetworkUpdateResponse,
  PortsAudit,
} from '#api/types/berth-network.ts';
import type {
  EndpointSettings,
  NetworkCreateRequest,
  NetworkCreateResponse,
  NetworkInspect,
  NetworkPruneReport,
} from '#api/types/network.ts';
import { type ApiClient, encodeFilters } from './api-client.ts';
import type { FilterMap } from './containers.ts';

const at = (name: string) => `/networks/${encodeURIComponent(name)}`;

export function createNetwork(
  client: ApiClient,
  request: Omit<NetworkCreateRequest, 'EnableIPv4' | 'EnableIPv6'> & { EnableIPv4?: boolean; EnableIPv6?: boolean },
): Promise<NetworkCreateResponse> {
  return client.json('POST', '/networks/create', { json: request });
}

export function listNetworks(client: ApiClient, filters: FilterMap): Promise<NetworkInspect[]> {
  return client.json('GET', '/networks', { query: { filters: encodeFilters(filters) } });
}

export function inspectNetwork(client: ApiClient, name: string, verbose = false): Promise<NetworkInspect> {
  return client.json('GET', at(name), { query: { verbose } });
}

export function removeNetwork(client: ApiClient, name: string): Promise<void> {
  return client.call('DELETE', at(name));
}

export function connectNetwork(
  client: ApiClient,
  network: string,
  container: string,
  settings: EndpointSettings,
): Promise<void> {
  return client.call('POST', `${at(network)}/connect`, { json: { Container: container, EndpointConfig: settings } });
}

export function disconnectNetwork(
  client: ApiClient,
  network: string,
  container: string,
  force: boolean,
): Promise<void> {
  return client.call('POST', `${at(network)}/disconnect`, { json: { Container: container, Force: force } });
}

export function pruneNetworks(client: ApiClient, filters: FilterMap): Promise<NetworkPruneReport> {
  return client.json('POST', '/networks/prune', { query: { filters: encodeFilters(filters) } });
}

export function updateNetwork(
  client: ApiClient,
  name: string,
  request: NetworkUpdateRequest,
): Promise<NetworkUpdateResponse> {
  return client.json('POST', `/berth${at(name)}/update`, { json: request });
}

export function auditPorts(client: ApiClient): Promise<PortsAudit> {
  return client.json('GET', '/berth/ports/audit');
}

export function hostNames(client: ApiClient): Promise<HostNames> {
  return client.json('GET', '/berth/host-names');
}

export function setHostNames(client: ApiClient, request: HostNamesRequest): Promise<HostNames> {
  return client.json('POST', '/berth/host-names', { json: request });
}
