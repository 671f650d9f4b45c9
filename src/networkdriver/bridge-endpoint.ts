/** What follows from an endpoint's addresses and ports alone. */
import type { FirewallPublished } from '#libcontainer/firewall/state.ts';
import { type Flow, forgetFlows } from '#libcontainer/netlink/conntrack.ts';
import { addressBytes, addressText, ipv4Number, ipv4Text, macBytes, subnetSize } from '#libcontainer/netlink/ip.ts';
import { log } from '#pkg/log/log.ts';
import type { Endpoint, EndpointAddress, PublishedPort } from './driver.ts';

const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;

/** The last address of its network. */
export function broadcastOf({ ip, prefixLength }: EndpointAddress): string {
  const size = subnetSize({ first: 0, prefixLength });
  return ipv4Text(Math.floor(ipv4Number(ip) / size) * size + size - 1);
}

/** A client that keeps its port would go on reaching an address that is nobody's, or another's. */
export function forgetUdp(endpoint: Endpoint): void {
  forget(endpoint, ['answers'], ({ protocol }) => protocol === PROTOCOLS.udp);
}

/** Connections that came by these ports: nobody comes by them any more. */
export function forgetPublished(endpoint: Endpoint, ports: readonly PublishedPort[]): void {
  forget(endpoint, ['answers'], (flow) => ports.some((port) => cameBy(flow, port)));
}

/** All that an endpoint has with others: it is gone while its container goes on. */
export function forgetAll(endpoint: Endpoint): void {
  forget(endpoint, ['answers', 'from'], () => true);
}

function cameBy(flow: Flow, { protocol, hostIp, hostPort, port }: PublishedPort): boolean {
  if (flow.protocol !== PROTOCOLS[protocol] || flow.answersPort !== port) return false;
  // By the container's own address: where it is still allowed the next packet begins it anew.
  if (flow.to === flow.answers) return flow.toPort === port;
  const any = hostIp === '0.0.0.0' || hostIp === '::';
  return flow.toPort === hostPort && (any || flow.to === addressText(addressBytes(hostIp)));
}

function forget(
  { address, address6 }: Endpoint,
  sides: readonly ('answers' | 'from')[],
  isGone: (flow: Flow) => boolean,
): void {
  for (const ip of [address?.ip, address6?.ip]) {
    if (ip === undefined) continue;
    try {
      for (const side of sides) forgetFlows(side, ip, isGone);
    } catch (err) {
      log.warn('connections to what is gone are not forgotten', { ip, err });
    }
  }
}

/** The kernel's link-local address of a MAC address (RFC 4291, appendix A). */
export function linkLocalOf(mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = macBytes(mac);
  const words = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
  return `fe80::${words.map((word) => word.toString(16)).join(':')}`;
}

/** What the firewall has of an endpoint's published ports. */
export function toFirewall({ address, address6 }: Endpoint, ports: readonly PublishedPort[]): FirewallPublished[] {
  return ports.flatMap(({ protocol, hostIp, hostPort, port, judged }) => {
    const target = hostIp.includes(':') ? address6 : address;
    if (target === undefined) return [];
    const kind = { ...(judged === true ? { judged } : {}), ...(hostPort === 0 ? { routed: true } : {}) };
    return [{ protocol, hostIp, hostPort, ip: target.ip, port, ...kind }];
  });
}
