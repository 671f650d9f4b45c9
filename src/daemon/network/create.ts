/** Creates a network: everything is chosen and checked, recorded, and then made on the host. */
import { randomBytes } from 'node:crypto';
import type { Ipam, IpamPool, NetworkCreateRequest, NetworkCreateResponse } from '#api/types/network.ts';
import { conflict, forbidden, invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { directOptionsOf } from '#networkdriver/direct/options.ts';
import { findPlugin } from '#networkdriver/remote/find.ts';
import { IpamPlugin, type PluginPool } from '#networkdriver/remote/ipam.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import { Rollback } from '#pkg/rollback/rollback.ts';
import type { Services } from '../services.ts';
import { isDirect } from './drivers.ts';
import { checkConfiguration, CONFIGURATION_DRIVER, configured, storedIpam } from './config-only.ts';
import { checkOnePoolEach, checkPools, completeIpam, type IpamContext } from './ipam.ts';
import { isPredefined } from './names.ts';
import { bridgeNameOf, checkBridgeOptions, checkCommonOptions, flagOption, OPTION } from './options.ts';
import type { NetworkRecord } from './record.ts';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

export async function createNetwork(services: Services, asked: NetworkCreateRequest): Promise<NetworkCreateResponse> {
  const { networks } = services;
  const { Name: name } = asked;
  checkRequest(asked);
  if (networks.byName(name) !== undefined) throw conflict(`network with name ${name} already exists`);
  const request = configured(networks, asked);
  if (request.ConfigOnly) return createConfiguration(services, request);
  const driver = ['', 'default'].includes(request.Driver) ? 'bridge' : request.Driver;
  const configFrom = request.ConfigFrom?.Network ?? '';
  // A configuration says all there is to say.
  const defaults = configFrom === '' ? services.settings.networkOptions[driver] : {};
  const options = { ...defaults, ...request.Options };
  checkCommonOptions(options);
  if (driver === 'bridge') {
    checkBridgeOptions(options, request.Internal);
    checkOnePoolEach(request.IPAM.Config ?? []);
  }
  if (isDirect(driver)) directOptionsOf(driver, options);
  else if (driver !== 'bridge') await findPlugin(driver, 'NetworkDriver');
  const enableIPv4 = request.EnableIPv4 && flagOption(options, OPTION.enableIpv4, true);
  const enableIPv6 = request.EnableIPv6 || flagOption(options, OPTION.enableIpv6, false);
  if (!enableIPv4 && !enableIPv6) throw invalidParameter('IPv4 or IPv6 must be enabled');
  await using undo = new Rollback({
    onUndoFailed: (step, err) => log.error('undo failed', { job: 'network.create', network: name, step, err }),
  });
  const { choose, choose6 } = networks;
  const context = { ipv4: enableIPv4, ipv6: enableIPv6, choose, choose6, taken: takenPools(services) };
  const { ipam, pools } = await ipamOf(request.IPAM, context, undo);
  if (pools === undefined && driver === 'bridge' && (ipam.Config ?? []).length === 0) {
    throw invalidParameter('a bridge network needs addresses: IPAM driver "null" gives none');
  }
  const record: NetworkRecord = {
    id: randomBytes(32).toString('hex'),
    name,
    createdAt: rfc3339(nowNs()),
    driver,
    enableIPv4,
    enableIPv6,
    internal: request.Internal,
    attachable: request.Attachable,
    options,
    labels: request.Labels ?? {},
    ipam,
    ...(pools === undefined ? {} : { pools }),
    userSubnets: (request.IPAM.Config ?? []).flatMap((pool) => pool.Subnet ?? []),
    removing: false,
    ...(configFrom === '' ? {} : { configFrom }),
    ...(request.Scope === '' ? {} : { scope: request.Scope }),
  };
  if (driver === 'bridge') checkBridgeName(services, record);
  const network = await networks.add(record);
  try {
    services.egress.applyNetwork(services, record);
  } catch (error) {
    await networks.remove(network).gone;
    throw error;
  }
  undo.commit();
  failpoint('network.made');
  return created(services, record);
}

function created(services: Services, { id, name, driver }: NetworkRecord): NetworkCreateResponse {
  services.events.publish({ type: 'network', action: 'create', id, attributes: { name, type: driver } });
  return { Id: id, Warning: '' };
}

/** Nothing is chosen and nothing made: only what cannot be read is refused. */
async function createConfiguration(services: Services, request: NetworkCreateRequest): Promise<NetworkCreateResponse> {
  const { EnableIPv4: enableIPv4, EnableIPv6: enableIPv6, Labels: labels, IPAM: ipam } = request;
  const options = request.Options ?? {};
  checkCommonOptions(options);
  checkPools(ipam, { ipv4: enableIPv4, ipv6: enableIPv6 });
  const record: NetworkRecord = {
    id: randomBytes(32).toString('hex'),
    name: request.Name,
    createdAt: rfc3339(nowNs()),
    driver: CONFIGURATION_DRIVER,
    ...{ enableIPv4, enableIPv6, internal: false, attachable: false, options, labels: labels ?? {} },
    ipam: storedIpam(ipam),
    userSubnets: [],
    removing: false,
    configOnly: true,
  };
  await services.networks.add(record);
  return created(services, record);
}

async function ipamOf(
  asked: Ipam,
  context: IpamContext,
  undo: Rollback,
): Promise<{ readonly ipam: Ipam; readonly pools?: readonly PluginPool[] }> {
  const driver = asked.Driver === '' ? 'default' : asked.Driver;
  const ipam = { ...asked, Driver: driver };
  if (driver === 'default') return { ipam: completeIpam(ipam, context) };
  if (driver === 'null') return { ipam: { ...ipam, Config: [] } };
  await findPlugin(driver, 'IpamDriver');
  const plugin = new IpamPlugin(driver);
  const { config, pools } = await plugin.requestPools(ipam, context);
  undo.defer('release the pools', () => plugin.releasePools(pools));
  return { ipam: { ...ipam, Config: config }, pools };
}

function checkRequest(request: NetworkCreateRequest): void {
  const { Name: name, Driver: driver } = request;
  if (name.trim() === '') throw invalidParameter('invalid name: name is empty');
  if (!NAME.test(name)) throw invalidParameter(`invalid network name: ${name}`);
  if (isPredefined(name)) throw forbidden(`operation is not permitted on predefined ${name} network `);
  checkConfiguration(request);
  if (request.Ingress) throw notImplemented('Ingress is not supported: it belongs to swarm');
  if (request.Scope === 'swarm') throw forbidden('cannot create a swarm scoped network when swarm is not active');
  if (driver === 'overlay')
    throw forbidden(
      'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
    );
  if (['host', 'null'].includes(driver)) throw forbidden(`only one instance of "${driver}" network is allowed`);
}

/** A bridge that somebody made by hand may be used; one of another network may not. */
function checkBridgeName(services: Services, record: NetworkRecord): void {
  const name = bridgeNameOf(record);
  const taken = [
    services.bridge()?.name,
    ...services.networks
      .userNetworks()
      .filter((other) => other.record.driver === 'bridge')
      .map((other) => bridgeNameOf(other.record)),
  ];
  if (taken.includes(name)) {
    throw forbidden(
      `cannot create network ${record.id} (${name}): bridge name "${name}" is in use (option ${OPTION.name})`,
    );
  }
}

/** Of all other networks; the default bridge's is what the host says. */
function takenPools(services: Services): IpamPool[] {
  const bridge = services.bridge();
  return [
    ...services.networks.all().flatMap(({ record }) => (record.configOnly === true ? [] : (record.ipam.Config ?? []))),
    ...(bridge === undefined ? [] : [{ Subnet: bridge.subnet }]),
    ...(bridge?.ipv6 === undefined ? [] : [{ Subnet: bridge.ipv6.subnet }]),
  ];
}
