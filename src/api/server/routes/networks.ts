/** Routes of networks. */
import {
  hostNamesSet,
  hostNamesShow,
  networkConnect,
  networkCreate,
  networkDisconnect,
  networkInspect,
  networkList,
  networkPrune,
  networkRemove,
  networkUpdate,
  portsAudit,
} from '#api/jobs/network.ts';
import { decodeFilters } from '#pkg/filters/filters.ts';
import {
  decodeNetworkConnect,
  decodeNetworkCreate,
  decodeHostNames,
  decodeNetworkDisconnect,
  decodeNetworkUpdate,
} from '../decode/network.ts';
import { type Route, type RouteContext, route } from '../route.ts';

async function listNetworks(ctx: RouteContext): Promise<void> {
  const filters = decodeFilters(ctx.query.text('filters'));
  ctx.sendJson(200, await ctx.run(networkList, { filters }));
}

async function inspectNetwork(ctx: RouteContext): Promise<void> {
  ctx.sendJson(200, await ctx.run(networkInspect, { network: ctx.param('id') }));
}

async function createNetwork(ctx: RouteContext): Promise<void> {
  const request = decodeNetworkCreate(await ctx.jsonRequired(), ctx.minor);
  ctx.sendJson(201, await ctx.run(networkCreate, { request }));
}

async function removeNetwork(ctx: RouteContext): Promise<void> {
  await ctx.run(networkRemove, { network: ctx.param('id') });
  ctx.sendEmpty(204);
}

async function connectNetwork(ctx: RouteContext): Promise<void> {
  const { Container: container, EndpointConfig: settings } = decodeNetworkConnect(await ctx.jsonRequired());
  await ctx.run(networkConnect, { network: ctx.param('id'), container, settings });
  ctx.sendEmpty(200);
}

async function disconnectNetwork(ctx: RouteContext): Promise<void> {
  const { Container: container, Force: force } = decodeNetworkDisconnect(await ctx.jsonRequired());
  await ctx.run(networkDisconnect, { network: ctx.param('id'), container, force });
  ctx.sendEmpty(200);
}

async function pruneNetworks(ctx: RouteContext): Promise<void> {
  const filters = decodeFilters(ctx.query.text('filters'));
  ctx.sendJson(200, await ctx.run(networkPrune, { filters }));
}

async function updateNetwork(ctx: RouteContext): Promise<void> {
  const request = decodeNetworkUpdate(await ctx.jsonRequired());
  ctx.sendJson(200, await ctx.run(networkUpdate, { network: ctx.param('id'), request }));
}

async function setHostNames(ctx: RouteContext): Promise<void> {
  const request = decodeHostNames(await ctx.jsonRequired());
  ctx.sendJson(200, await ctx.run(hostNamesSet, { request }));
}

export const networkRoutes: readonly Route[] = [
  route('GET', '/berth/ports/audit', 24, 'who can reach published ports', async (ctx) => {
    ctx.sendJson(200, await ctx.run(portsAudit, {}));
  }),
  route('GET', '/berth/host-names', 24, 'names of containers for the host', async (ctx) => {
    ctx.sendJson(200, await ctx.run(hostNamesShow, {}));
  }),
  route('POST', '/berth/host-names', 24, 'serve names of containers to the host, or no longer', setHostNames),
  route('POST', '/berth/networks/{id}/update', 24, 'change the egress policy and labels of a network', updateNetwork),
  route('GET', '/networks', 24, 'list networks', listNetworks),
  route('GET', '/networks/{id}', 24, 'inspect a network', inspectNetwork),
  route('POST', '/networks/create', 24, 'create a network', createNetwork),
  route('POST', '/networks/prune', 25, 'remove unused networks', pruneNetworks),
  route('POST', '/networks/{id}/connect', 24, 'connect a container to a network', connectNetwork),
  route('POST', '/networks/{id}/disconnect', 24, 'disconnect a container from a network', disconnectNetwork),
  route('DELETE', '/networks/{id}', 24, 'remove a network', removeNetwork),
];
