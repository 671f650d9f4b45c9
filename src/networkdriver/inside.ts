/** What a link inside a container's namespace is given: the same whatever driver made it. */
import { addAddress, addRoute, setLinkUp, withoutLinkLocal } from '#libcontainer/netlink/rtnetlink.ts';
import type { Request } from '#libcontainer/netlink/codec.ts';
import { randomBytes } from 'node:crypto';
import { ipv4Bytes, ipv4Number, macText } from '#libcontainer/netlink/ip.ts';
import type { GivenAddresses } from './addresses.ts';
import { broadcastOf } from './bridge-endpoint.ts';
import { hasIpv6 } from './bridge-link.ts';
import { type Endpoint, type EndpointAddress, type EndpointRequest, type Families } from './driver.ts';

const LOOPBACK_INDEX = 1;
const LINK_LOCAL_BITS = { four: 16, six: 64 } as const;

/** Addresses, up, routes: one send. */
export function insideRequests(index: number, endpoint: Endpoint, defaultRoute: Families): Request[] {
  const { address, address6 } = endpoint;
  return [
    ...(hasIpv6() && address6 === undefined ? [withoutLinkLocal(index)] : []),
    setLinkUp(LOOPBACK_INDEX),
    ...[address, address6].filter((a) => a !== undefined).map((a) => addAddress({ index, ...withBroadcast(a) })),
    ...(endpoint.linkLocal ?? []).map((ip) =>
      addAddress({ index, ip, prefixLength: ip.includes(':') ? LINK_LOCAL_BITS.six : LINK_LOCAL_BITS.four }),
    ),
    setLinkUp(index),
    ...defaultRoutes(index, endpoint, defaultRoute),
  ];
}

function withBroadcast(address: EndpointAddress): { ip: string; prefixLength: number; broadcast?: string } {
  const { ip, prefixLength } = address;
  const known = ip.includes(':') || prefixLength >= 31;
  return { ip, prefixLength, ...(known ? {} : { broadcast: broadcastOf(address) }) };
}

/** The default routes of these families, in place of those that there are. */
export function defaultRoutes(index: number, endpoint: Endpoint, { four, six }: Families): Request[] {
  const routes: Request[] = [];
  for (const [address, wanted, any] of [
    [endpoint.address, four, '0.0.0.0'],
    [endpoint.address6, six, '::'],
  ] as const) {
    if (address === undefined || !wanted) continue;
    if (address.gateway !== '') routes.push(addRoute({ index, gateway: address.gateway, replace: true }));
    else if (endpoint.defaultLink === true) {
      routes.push(addRoute({ index, destination: { ip: any, prefixLength: 0 }, replace: true }));
    }
  }
  return routes;
}

/** Docker's: of the IPv4 address, so that neighbours who know the address know the container that has it next. */
export function macOf(request: EndpointRequest, { four }: GivenAddresses): string {
  const own = four === undefined ? randomBytes(4) : ipv4Bytes(ipv4Number(four.ip));
  return request.mac ?? macText(Uint8Array.of(0x02, 0x42, ...own));
}

/** The addresses of an endpoint as it keeps them; '' is no gateway. */
export function endpointAddresses(
  given: GivenAddresses,
  mac: string,
  gateways: { readonly four: string; readonly six: string },
): Pick<Endpoint, 'address' | 'address6'> {
  const { four, six } = given;
  return {
    address: four === undefined ? undefined : { ...four, gateway: gateways.four, mac },
    ...(six === undefined ? {} : { address6: { ...six, gateway: gateways.six, mac } }),
  };
}

export const ipsOf = ({ address, address6 }: Endpoint): string[] =>
  [address?.ip, address6?.ip].filter((ip) => ip !== undefined);
