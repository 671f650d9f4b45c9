/**
 * rtnetlink: requests for links, addresses, routes and neighbours as values, to be sent by NetlinkSocket.run, several at
 * once. Pure. What the kernel answers is read by rtnetlink-decode.ts.
 */
import {
  type Attribute,
  attribute,
  concat,
  nested,
  NLM,
  type Request,
  textAttribute,
  u32,
  u32Attribute,
  u8Attribute,
} from './codec.ts';
import { addressBytes, macBytes } from './ip.ts';
import {
  RTM,
  RTM_ROUTE,
  RTM_NEIGHBOUR,
  IFF_NOARP,
  IFF_UP,
  AF,
  IFLA,
  IFLA_QUEUES,
  IFLA_BRPORT,
  IFLA_INFO,
  VETH_INFO_PEER,
  IFLA_INET6_ADDR_GEN_MODE,
  ADDR_GEN_NONE,
  IFA,
  IFA_F_NODAD,
  RTA,
  TABLE_LOCAL,
  TABLE_MAIN,
  ROUTE,
  NDA,
  NUD_PERMANENT,
} from './rtnetlink-numbers.ts';

const LOOPBACK6_BITS = 128;
const LOOPBACK_METRIC = 1024;

/** struct ifinfomsg. `up` undefined leaves the flag. */
export function linkHeader(index: number, up?: boolean, family = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, family);
  view.setInt32(4, index, true);
  if (up !== undefined) {
    view.setUint32(8, up ? IFF_UP : 0, true);
    view.setUint32(12, IFF_UP, true);
  }
  return bytes;
}

export const linkInfo = (kind: string, more: readonly Attribute[] = []): Attribute =>
  nested(IFLA.LINKINFO, [textAttribute(IFLA_INFO.KIND, kind), ...more]);

export interface VethRequest {
  readonly name: string;
  /** Index of the bridge. */
  readonly master: number;
  readonly mtu?: number;
  readonly peer: {
    readonly name: string;
    readonly mac: string;
    /** Descriptor of the peer's network namespace. */
    readonly namespace: number;
    /** Chosen index of the peer in its namespace; undefined lets the kernel choose. */
    readonly index?: number;
  };
}

/** Both ends in one request: ours up and in the bridge, the peer in its namespace, down. */
export function createVeth({ name, master, mtu, peer }: VethRequest): Request {
  // A queue for each processor is the default; a veth without XDP uses none of them, and each is made and torn down.
  const oneQueue = [u32Attribute(IFLA_QUEUES.TX, 1), u32Attribute(IFLA_QUEUES.RX, 1)];
  const common = [...oneQueue, ...(mtu === undefined ? [] : [u32Attribute(IFLA.MTU, mtu)])];
  const peerLink = concat([
    linkHeader(peer.index ?? 0),
    textAttribute(IFLA.IFNAME, peer.name),
    u32Attribute(IFLA.NET_NS_FD, peer.namespace),
    attribute(IFLA.ADDRESS, macBytes(peer.mac)),
    ...common,
  ]);
  return {
    name: `create veth "${name}"`,
    type: RTM.NEWLINK,
    flags: NLM.CREATE | NLM.EXCL,
    header: linkHeader(0, true),
    attributes: [
      textAttribute(IFLA.IFNAME, name),
      u32Attribute(IFLA.MASTER, master),
      ...common,
      linkInfo('veth', [nested(IFLA_INFO.DATA, [attribute(VETH_INFO_PEER, peerLink)])]),
    ],
  };
}

export function createBridge(name: string, mac: string, mtu?: number): Request {
  return {
    name: `create bridge "${name}"`,
    type: RTM.NEWLINK,
    flags: NLM.CREATE | NLM.EXCL,
    header: linkHeader(0),
    attributes: [
      textAttribute(IFLA.IFNAME, name),
      // Set, so that it does not follow the ports': neighbours would have to learn it anew with each container.
      attribute(IFLA.ADDRESS, macBytes(mac)),
      ...(mtu === undefined ? [] : [u32Attribute(IFLA.MTU, mtu)]),
      linkInfo('bridge'),
    ],
  };
}

export const setLinkUp = (index: number, up = true): Request => ({
  name: `set link ${index} ${up ? 'up' : 'down'}`,
  type: RTM.NEWLINK,
  flags: 0,
  header: linkHeader(index, up),
  attributes: [],
});

/** Up, but it answers nobody who asks for an address. */
export function setLinkUpUnasked(index: number): Request {
  const header = linkHeader(index);
  const view = new DataView(header.buffer);
  view.setUint32(8, IFF_UP | IFF_NOARP, true);
  view.setUint32(12, IFF_UP | IFF_NOARP, true);
  return { name: `set link ${index} up`, type: RTM.NEWLINK, flags: 0, header, attributes: [] };
}

/** No IPv6 link-local address of the kernel's making: an interface without addresses speaks no IPv6. */
export const withoutLinkLocal = (index: number): Request => ({
  name: `set address generation of link ${index}`,
  type: RTM.NEWLINK,
  flags: 0,
  header: linkHeader(index),
  attributes: [nested(IFLA.AF_SPEC, [nested(AF.INET6, [u8Attribute(IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_NONE)])])],
});

export const deleteLink = (by: LinkKey): Request => linkRequest('delete', RTM.DELLINK, by);

/** Another name and group. Preconditions: it is down. */
export const discardLink = (to: {
  readonly index: number;
  readonly name: string;
  readonly group: number;
}): Request => ({
  name: `rename link ${to.index} to "${to.name}"`,
  type: RTM.NEWLINK,
  flags: 0,
  header: linkHeader(to.index),
  attributes: [textAttribute(IFLA.IFNAME, to.name), u32Attribute(IFLA.GROUP, to.group)],
});

/** All links of a group at once. ENODEV: there are none. */
export const deleteGroup = (group: number): Request => ({
  name: `delete links of group ${group}`,
  type: RTM.DELLINK,
  flags: 0,
  header: linkHeader(0),
  attributes: [u32Attribute(IFLA.GROUP, group)],
});

export interface AddressRequest {
  readonly index: number;
  readonly ip: string;
  readonly prefixLength: number;
  readonly broadcast?: string;
}

/** struct ifaddrmsg: family, prefix length, flags, scope, index. */
function addressRequest(name: string, type: number, flags: number, request: AddressRequest): Request {
  const bytes = addressBytes(request.ip);
  const v6 = bytes.length === 16;
  return {
    name: `${name} "${request.ip}/${request.prefixLength}"`,
    type,
    flags,
    header: concat([Uint8Array.of(v6 ? AF.INET6 : AF.INET, request.prefixLength, 0, 0), u32(request.index)]),
    attributes: [
      attribute(IFA.LOCAL, bytes),
      attribute(IFA.ADDRESS, bytes),
      ...(request.broadcast === undefined ? [] : [attribute(IFA.BROADCAST, addressBytes(request.broadcast))]),
      ...(v6 ? [u32Attribute(IFA.FLAGS, IFA_F_NODAD)] : []),
    ],
  };
}

export const addAddress = (request: AddressRequest): Request =>
  addressRequest('add address', RTM.NEWADDR, NLM.CREATE | NLM.EXCL, request);

export const deleteAddress = (request: AddressRequest): Request =>
  addressRequest('delete address', RTM.DELADDR, 0, request);

export interface RouteRequest {
  readonly index: number;
  /** Undefined: the default route. */
  readonly destination?: { readonly ip: string; readonly prefixLength: number };
  readonly gateway?: string;
  readonly metric?: number;
  /** In place of the route that there is to the same destination. */
  readonly replace?: boolean;
}

/** struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags. */
export function addRoute({ index, destination, gateway, metric, replace = false }: RouteRequest): Request {
  const some = gateway ?? destination?.ip ?? '0.0.0.0';
  const family = some.includes(':') ? AF.INET6 : AF.INET;
  const scope = gateway === undefined && family === AF.INET ? ROUTE.scopeLink : ROUTE.scopeUniverse;
  const length = destination?.prefixLength ?? 0;
  return {
    name: `add route ${destination === undefined ? 'default' : `"${destination.ip}/${length}"`}`,
    type: RTM_ROUTE.NEW,
    flags: NLM.CREATE | (replace ? NLM.REPLACE : NLM.EXCL),
    header: Uint8Array.of(family, length, 0, 0, TABLE_MAIN, ROUTE.protocolBoot, scope, ROUTE.typeUnicast, 0, 0, 0, 0),
    attributes: [
      ...(destination === undefined || length === 0 ? [] : [attribute(RTA.DST, addressBytes(destination.ip))]),
      ...(gateway === undefined ? [] : [attribute(RTA.GATEWAY, addressBytes(gateway))]),
      ...(metric === undefined ? [] : [u32Attribute(RTA.PRIORITY, metric)]),
      u32Attribute(RTA.OIF, index),
    ],
  };
}

/** Puts a link into a bridge, or with 0 takes it out. */
export const setMaster = (index: number, master: number): Request => ({
  name: `set master of link ${index}`,
  type: RTM.NEWLINK,
  flags: 0,
  header: linkHeader(index),
  attributes: [u32Attribute(IFLA.MASTER, master)],
});

/**
 * A port of a bridge may be sent back what came from it: a container that reaches itself by a port of the host, where
 * packets of bridges pass the rules (br_netfilter).
 */
export const setHairpin = (name: string): Request => bridgePort(name, 'set hairpin mode of', [IFLA_BRPORT.MODE]);

/** A port of a bridge that reaches no other isolated one, only the bridge itself. */
export const isolatePort = (name: string): Request => bridgePort(name, 'isolate', [IFLA_BRPORT.ISOLATED]);

/** A port of a bridge out of which goes nothing that came by another; but what the host sends to many does. */
export const mutePort = (name: string): Request =>
  bridgePort(
    name,
    'mute',
    [IFLA_BRPORT.LEARNING, IFLA_BRPORT.UNICAST_FLOOD, IFLA_BRPORT.MCAST_FLOOD, IFLA_BRPORT.BCAST_FLOOD],
    0,
  );

const bridgePort = (name: string, verb: string, flags: readonly number[], value = 1): Request => ({
  name: `${verb} link "${name}"`,
  type: RTM.NEWLINK,
  flags: 0,
  header: linkHeader(0),
  attributes: [
    textAttribute(IFLA.IFNAME, name),
    nested(IFLA.LINKINFO, [
      textAttribute(IFLA_INFO.SLAVE_KIND, 'bridge'),
      nested(
        IFLA_INFO.SLAVE_DATA,
        flags.map((flag) => u8Attribute(flag, value)),
      ),
    ]),
  ],
});

/**
 * A second local route to ::1 by way of a bridge: only then may what goes to ::1 be translated to an address behind it.
 * Its metric is worse than that of the true one.
 */
export const addLoopbackRoute = (index: number): Request => ({
  name: 'add route of ::1',
  type: RTM_ROUTE.NEW,
  flags: NLM.CREATE | NLM.EXCL,
  header: Uint8Array.of(
    ...[AF.INET6, LOOPBACK6_BITS, 0, 0, TABLE_LOCAL, ROUTE.protocolBoot, ROUTE.scopeHost, ROUTE.typeLocal, 0, 0, 0, 0],
  ),
  attributes: [
    attribute(RTA.DST, addressBytes('::1')),
    u32Attribute(RTA.OIF, index),
    u32Attribute(RTA.PRIORITY, LOOPBACK_METRIC + index),
  ],
});

/** A neighbour that needs no asking. struct ndmsg: family, pad, index, state, flags, type. */
export function addNeighbour(index: number, ip: string, mac: string): Request {
  const bytes = addressBytes(ip);
  const header = new Uint8Array(12);
  const view = new DataView(header.buffer);
  view.setUint8(0, bytes.length === 16 ? AF.INET6 : AF.INET);
  view.setInt32(4, index, true);
  view.setUint16(8, NUD_PERMANENT, true);
  return {
    name: `add neighbour "${ip}"`,
    type: RTM_NEIGHBOUR.NEW,
    flags: NLM.CREATE,
    header,
    attributes: [attribute(NDA.DST, bytes), attribute(NDA.LLADDR, macBytes(mac))],
  };
}

/** How a link is named in a request. */
export type LinkKey = { readonly name: string } | { readonly index: number };

function linkRequest(verb: string, type: number, by: LinkKey): Request {
  const named = 'name' in by;
  return {
    name: named ? `${verb} link "${by.name}"` : `${verb} link ${by.index}`,
    type,
    flags: 0,
    header: linkHeader(named ? 0 : by.index),
    attributes: named ? [textAttribute(IFLA.IFNAME, by.name)] : [],
  };
}

export const getLink = (by: LinkKey): Request => linkRequest('find', RTM.GETLINK, by);

export const listLinks: Request = {
  name: 'list links',
  type: RTM.GETLINK,
  flags: 0,
  header: linkHeader(0),
  attributes: [],
};

export const listAddresses: Request = {
  name: 'list addresses',
  type: RTM.GETADDR,
  flags: 0,
  header: Uint8Array.of(AF.INET, 0, 0, 0, 0, 0, 0, 0),
  attributes: [],
};

const routesOf = (family: number): Request => ({
  name: 'list routes',
  type: RTM_ROUTE.GET,
  flags: 0,
  header: Uint8Array.of(family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
  attributes: [],
});

export const listRoutes: Request = routesOf(AF.INET);
export const listRoutes6: Request = routesOf(AF.INET6);
