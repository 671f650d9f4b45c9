/** The bodies of network create, connect and disconnect. */
import type { HostNamesRequest, NetworkUpdateRequest } from '#api/types/berth-network.ts';
import type {
  Ipam,
  IpamPool,
  NetworkConnectRequest,
  NetworkCreateRequest,
  NetworkDisconnectRequest,
} from '#api/types/network.ts';
import { endpoint } from './container-create.ts';
import { flag, given, int64, list, map, nullable, omitEmpty, optional, struct, text, textMap } from './fields.ts';

const pool = struct<IpamPool>('network.IPAMConfig', {
  Subnet: omitEmpty(text),
  IPRange: omitEmpty(text),
  Gateway: omitEmpty(text),
  AuxiliaryAddresses: omitEmpty(textMap),
});

const create = struct<Omit<NetworkCreateRequest, 'EnableIPv4'> & { EnableIPv4: boolean | null }>(
  'network.CreateRequest',
  {
    Name: text,
    Driver: text,
    Scope: text,
    EnableIPv4: nullable(flag),
    EnableIPv6: flag,
    IPAM: struct<Ipam>('network.IPAM', { Driver: text, Options: textMap, Config: list(pool, 'network.IPAMConfig') }),
    Internal: flag,
    Attachable: flag,
    Ingress: flag,
    ConfigOnly: flag,
    ConfigFrom: nullable(struct<{ Network: string }>('network.ConfigReference', { Network: text })),
    Options: textMap,
    Labels: textMap,
  },
);

const connect = struct<NetworkConnectRequest>('network.ConnectOptions', {
  Container: text,
  EndpointConfig: nullable(endpoint),
});

const disconnect = struct<NetworkDisconnectRequest>('network.DisconnectOptions', { Container: text, Force: flag });

const hostNames = struct<HostNamesRequest>('berth.HostNames', { Enabled: flag, Manual: flag });

const update = struct<NetworkUpdateRequest>('berth.NetworkUpdate', {
  Options: given(map(nullable(text))),
  Labels: given(map(nullable(text))),
  Revision: optional(int64),
});

const place = (name: string) => ({ struct: name, path: '' });

/** Clients before 1.47 know no EnableIPv4. */
export function decodeNetworkCreate(body: unknown, minor: number): NetworkCreateRequest {
  const request = create(body, place('CreateRequest'));
  return { ...request, EnableIPv4: minor < 47 ? true : (request.EnableIPv4 ?? true) };
}

export const decodeNetworkConnect = (body: unknown): NetworkConnectRequest => connect(body, place('ConnectOptions'));

export const decodeNetworkDisconnect = (body: unknown): NetworkDisconnectRequest =>
  disconnect(body, place('DisconnectOptions'));

export const decodeHostNames = (body: unknown): HostNamesRequest => hostNames(body, place('HostNames'));

export const decodeNetworkUpdate = (body: unknown): NetworkUpdateRequest => update(body, place('NetworkUpdate'));
