/** Creates a network: everything is chosen and checked, recorded, and then made on the host. */
import { randomBytes } from 'node:crypto';
import type { IpamPool, NetworkCreateRequest, NetworkCreateResponse } from '#api/types/network.ts';
import { conflict, forbidden, invalidParameter, notFound, notImplemented } from '#errdefs/errors.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import type { Services } from '../services.ts';
import { completeIpam } from './ipam.ts';
import { isPredefined } from './names.ts';
import { bridgeNameOf, checkBridgeOptions, OPTION } from './options.ts';
import type { NetworkRecord } from './record.ts';

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

export async function createNetwork(services: Services, request: NetworkCreateRequest): Promise<NetworkCreateResponse> {
  const { networks } = services;
  const { Name: name } = request;
  checkRequest(request);
  if (networks.byName(name) !== undefined) throw conflict(`network with name ${name} already exists`);
  const options = { ...services.settings.networkOptions['bridge'], ...request.Options };
  checkBridgeOptions(options);
  const enableIPv6 = request.EnableIPv6;
  const ipam = completeIpam(
    { ...request.IPAM, Driver: request.IPAM.Driver === '' ? 'default' : request.IPAM.Driver },
    { ipv6: enableIPv6, choose: networks.choose, taken: takenPools(services) },
  );
  const record: NetworkRecord = {
    id: randomBytes(32).toString('hex'),
    name,
    createdAt: rfc3339(nowNs()),
    driver: 'bridge',
    enableIPv4: true,
    enableIPv6,
    internal: request.Internal,
    attachable: request.Attachable,
    options,
    labels: request.Labels ?? {},
    ipam,
    userSubnets: (request.IPAM.Config ?? []).flatMap((pool) => pool.Subnet ?? []),
    removing: false,
  };
  checkBridgeName(services, record);
  const network = await networks.add(record);
  try {
    services.egress.applyNetwork(services, record);
  } catch (error) {
    await networks.remove(network).gone;
    throw error;
  }
  failpoint('network.made');
  services.events.publish({
    type: 'network',
    action: 'create',
    id: record.id,
    attributes: { name, type: record.driver },
  });
  return { Id: record.id, Warning: '' };
}

function checkRequest(request: NetworkCreateRequest): void {
  const { Name: name, Driver: driver } = request;
  if (!NAME.test(name)) throw invalidParameter(`invalid network name: ${name}`);
  if (isPredefined(name)) throw forbidden(`operation is not permitted on predefined ${name} network `);
  if (request.ConfigOnly || (request.ConfigFrom?.Network ?? '') !== '') {
    throw notImplemented('ConfigOnly and ConfigFrom are not supported: they belong to swarm');
  }
  if (request.Ingress) throw notImplemented('Ingress is not supported: it belongs to swarm');
  if (request.Scope !== '' && request.Scope !== 'local') throw forbidden('This node is not a swarm manager.');
  if (!request.EnableIPv4) throw notImplemented('EnableIPv4: networks without IPv4 are not supported yet');
  if (driver === 'overlay')
    throw forbidden(
      'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
    );
  if (['host', 'null'].includes(driver)) throw forbidden(`only one instance of "${driver}" network is allowed`);
  if (['macvlan', 'ipvlan'].includes(driver)) throw notImplemented(`network driver "${driver}" is not supported yet`);
  if (!['', 'bridge', 'default'].includes(driver)) {
    throw notFound(`plugin "${driver}" not found`);
  }
}

/** A bridge that somebody made by hand may be used; one of another network may not. */
function checkBridgeName(services: Services, record: NetworkRecord): void {
  const name = bridgeNameOf(record);
  const taken = [
    services.bridge()?.name,
    ...services.networks.userNetworks().map((other) => bridgeNameOf(other.record)),
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
    ...services.networks.all().flatMap(({ record }) => record.ipam.Config ?? []),
    ...(bridge === undefined ? [] : [{ Subnet: bridge.subnet }]),
  ];
}
