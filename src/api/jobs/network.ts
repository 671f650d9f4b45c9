/** Jobs on networks. */
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
import { defineJob } from '#engine/engine.ts';
import type { Filters } from './container.ts';

/** `Containers` of each is empty, as in dockerd's list. */
export const networkList = defineJob<{ filters: Filters }, NetworkInspect[]>('network.list');
/** By id, unique prefix or name. Errors: not-found `network X not found`. */
export const networkInspect = defineJob<{ network: string }, NetworkInspect>('network.inspect');
/** Errors: conflict for a name that is taken, forbidden for a pool that overlaps. */
export const networkCreate = defineJob<{ request: NetworkCreateRequest }, NetworkCreateResponse>('network.create');
/** Errors: not-found; forbidden for one that is in use or there from the start. */
export const networkRemove = defineJob<{ network: string }, void>('network.remove');
export const networkConnect = defineJob<
  { network: string; container: string; settings: EndpointSettings | null },
  void
>('network.connect');
export const networkDisconnect = defineJob<{ network: string; container: string; force: boolean }, void>(
  'network.disconnect',
);
/** Its egress policy and labels, while containers are on it. Errors: not-found; conflict for another revision. */
export const networkUpdate = defineJob<{ network: string; request: NetworkUpdateRequest }, NetworkUpdateResponse>(
  'network.update',
);
/** Who can reach which published port, and why. */
export const portsAudit = defineJob<Record<string, never>, PortsAudit>('ports.audit');
/** Names of containers for the host. */
export const hostNamesShow = defineJob<Record<string, never>, HostNames>('network.host-names');
export const hostNamesSet = defineJob<{ request: HostNamesRequest }, HostNames>('network.host-names.set');
/** Those that no container is on. */
export const networkPrune = defineJob<{ filters: Filters }, NetworkPruneReport>('network.prune');
