/**
 * The bridge itself: made when missing, given an address when it has none, and up. What an existing bridge has is kept:
 * running containers have addresses of it.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { conflict, messageOf, systemError } from '#errdefs/errors.ts';
import {
  contains,
  ipv4Number,
  ipv4Text,
  macText,
  type Subnet6,
  subnet6Of,
  subnetOf,
  subnetSize,
  subnetText,
} from '#libcontainer/netlink/ip.ts';
import {
  addAddress,
  createBridge,
  deleteAddress,
  deleteLink,
  getLink,
  listAddresses,
  listRoutes,
  listRoutes6,
  setLinkUp,
} from '#libcontainer/netlink/rtnetlink.ts';
import { decodeAddress, decodeLink, decodeRoute, type Link } from '#libcontainer/netlink/rtnetlink-decode.ts';
import { TABLE_LOCAL } from '#libcontainer/netlink/rtnetlink-numbers.ts';
import { isNetlinkErrno, type NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { log } from '#pkg/log/log.ts';
import { hostNameservers } from './nameservers.ts';
import {
  type AddressPoolOption,
  type BridgeAddress,
  choosePool,
  defaultPools,
  firstAddressOf,
  parseBip,
} from './pools.ts';

export interface BridgeConfig {
  /** 'berth0', or the name given by --bridge. */
  readonly bridge: string;
  /** --bridge was given: the bridge's addresses are the user's and never replaced. */
  readonly given: boolean;
  /** --bip: the bridge's address and network. */
  readonly bip?: string;
  /** False: the network has no IPv4. Default true. */
  readonly ipv4?: boolean;
  /** The host has no IPv4 address on the bridge; containers have those of the network of --bip all the same. */
  readonly withoutAddress?: boolean;
  readonly pools?: readonly AddressPoolOption[];
  readonly mtu?: number;
  /** Leave net.ipv4.ip_forward as it is. */
  readonly keepForwarding?: boolean;
}

export interface BridgeState {
  readonly index: number;
  /** Undefined: no IPv4. */
  readonly address: BridgeAddress | undefined;
  /** Further addresses of the bridge. */
  readonly others: readonly string[];
  /** The bridge is new: whoever cannot go on takes it away again. */
  readonly made: boolean;
}

const IP_FORWARD = '/proc/sys/net/ipv4/ip_forward';

/** A kernel without IPv6 has nothing to switch off. */
export const hasIpv6 = (): boolean => existsSync('/proc/sys/net/ipv6');

export function ensureBridge(host: NetlinkSocket, config: BridgeConfig): BridgeState {
  const bip = config.bip === undefined ? undefined : parseBip(config.bip);
  const found = findLink(host, config.bridge);
  if (found !== undefined && found.kind !== 'bridge') {
    throw conflict(`Cannot use "${config.bridge}" as bridge: it is a link of kind "${found.kind}"`);
  }
  const link = found ?? makeBridge(host, config);
  try {
    const state = { ...addressed(host, { config, link, bip }), made: found === undefined };
    // Nobody else is on a bridge that is just being made: its link-local address need not wait two seconds for a claim.
    // The kernel gives a link of less than 1,280 bytes no IPv6 at all.
    const ipv6 = `/proc/sys/net/ipv6/conf/${config.bridge}`;
    if (hasIpv6() && existsSync(ipv6)) {
      for (const key of ['accept_dad', 'accept_ra']) writeFileSync(`${ipv6}/${key}`, '0');
    }
    if (!link.up) host.run(setLinkUp(link.index));
    if (config.keepForwarding !== true) forward();
    return state;
  } catch (error) {
    if (found === undefined) host.run(deleteLink({ index: link.index }));
    throw error;
  }
}

export function findLink(host: NetlinkSocket, name: string): Link | undefined {
  try {
    return decodeLink(host.get(getLink({ name })));
  } catch (error) {
    if (isNetlinkErrno(error, 'ENODEV')) return undefined;
    throw error;
  }
}

/** Always the same: containers that outlive a bridge know where their gateway is when it is made anew. */
const macOf = (bridge: string): string =>
  macText(Uint8Array.of(0x02, 0x42, ...createHash('sha256').update(bridge).digest().subarray(0, 4)));

function makeBridge(host: NetlinkSocket, { bridge, mtu }: BridgeConfig): Link {
  try {
    host.run(createBridge(bridge, macOf(bridge), mtu));
  } catch (cause) {
    throw systemError(`Cannot make bridge "${bridge}": ${messageOf(cause)}`, { cause });
  }
  let link: Link | undefined;
  try {
    link = findLink(host, bridge);
  } catch (error) {
    host.run(deleteLink({ name: bridge }));
    throw error;
  }
  if (link === undefined) throw systemError(`Cannot make bridge "${bridge}": it is gone again`);
  log.info('made a bridge', { bridge });
  return link;
}

interface Addressing {
  readonly config: BridgeConfig;
  readonly link: Link;
  readonly bip: BridgeAddress | undefined;
}

/** The bridge's own address: --bip, else the one that it has, else the first of a free pool. */
function addressed(host: NetlinkSocket, { config, link, bip }: Addressing): Omit<BridgeState, 'made'> {
  if (config.ipv4 === false) return { index: link.index, address: undefined, others: [] };
  if (config.withoutAddress === true && bip !== undefined) return { index: link.index, address: bip, others: [] };
  const present = host.dump(listAddresses, decodeAddress).filter((a) => a.index === link.index);
  const wanted = present.find((a) => bip === undefined || (a.ip === bip.gateway && a.prefixLength === lengthOf(bip)));
  if (wanted !== undefined) {
    const { first, prefixLength } = subnetOf(`${wanted.ip}/${wanted.prefixLength}`);
    const others = present.filter((a) => a !== wanted).map((a) => a.ip);
    return { index: link.index, address: { subnet: { first, prefixLength }, gateway: wanted.ip }, others };
  }
  if (bip !== undefined && present.length > 0) {
    const has = present.map((a) => `${a.ip}/${a.prefixLength}`).join(' ');
    if (config.given) throw conflict(`Cannot use --bip "${config.bip}": bridge "${config.bridge}" has ${has}`);
    log.warn('replacing the address of the bridge', { bridge: config.bridge, from: has, to: config.bip });
    host.run(...present.map((a) => deleteAddress({ index: link.index, ip: a.ip, prefixLength: a.prefixLength })));
  }
  const address = bip ?? firstAddressOf(choosePool(config.pools ?? defaultPools, networksInUse(host)));
  const { subnet, gateway } = address;
  const broadcast = ipv4Text(subnet.first + subnetSize(subnet) - 1);
  host.run(addAddress({ index: link.index, ip: gateway, prefixLength: subnet.prefixLength, broadcast }));
  log.info('gave the bridge an address', { bridge: config.bridge, gateway, subnet: subnetText(subnet) });
  return { index: link.index, address, others: [] };
}

const lengthOf = ({ subnet }: BridgeAddress): number => subnet.prefixLength;

/** Networks that this host reaches, and its name servers. */
export function networksInUse(host: NetlinkSocket): { first: number; prefixLength: number }[] {
  const routes = host.dump(listRoutes, decodeRoute).filter((r) => r.table !== TABLE_LOCAL && r.prefixLength > 0);
  const loopback = { first: ipv4Number('127.0.0.0'), prefixLength: 8 };
  return [
    ...routes.map((r) => ({ first: ipv4Number(r.destination), prefixLength: r.prefixLength })),
    ...hostNameservers()
      .filter((ip) => /^\d+\.\d+\.\d+\.\d+$/.test(ip))
      .map((ip) => ({ first: ipv4Number(ip), prefixLength: 32 }))
      .filter((server) => !contains(loopback, server.first)),
  ];
}

/** Networks of IPv6 that this host reaches. */
export function networksInUse6(host: NetlinkSocket): Subnet6[] {
  if (!hasIpv6()) return [];
  return host
    .dump(listRoutes6, decodeRoute)
    .filter((r) => r.table !== TABLE_LOCAL && r.prefixLength > 0)
    .map((r) => subnet6Of(`${r.destination}/${r.prefixLength}`));
}

/** Containers reach nothing beyond the bridge without it. */
function forward(): void {
  if (readFileSync(IP_FORWARD, 'utf8').trim() !== '0') return;
  writeFileSync(IP_FORWARD, '1');
  log.info('switched on net.ipv4.ip_forward', { was: 0 });
}
