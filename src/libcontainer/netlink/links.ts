/** Links that stand on another one (macvlan, ipvlan, vlan) or on none (dummy), as rtnetlink requests. Pure. */
import {
  type Attribute,
  attribute,
  concat,
  nested,
  NLM,
  type Request,
  textAttribute,
  u16Attribute,
  u32Attribute,
} from './codec.ts';
import { macBytes } from './ip.ts';
import { linkHeader, linkInfo } from './rtnetlink.ts';
import { IFLA, IFLA_INFO, RTM } from './rtnetlink-numbers.ts';

/** linux/if_link.h */
const IFLA_MACVLAN_MODE = 1;
const IFLA_VLAN_ID = 1;
const IFLA_IPVLAN = { MODE: 1, FLAGS: 2 } as const;
const VETH_INFO_PEER = 1;

export const MACVLAN_MODE = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
export const IPVLAN_MODE = { l2: 0, l3: 1, l3s: 2 } as const;
export const IPVLAN_FLAG = { bridge: 0, private: 1, vepa: 2 } as const;

export type LinkKind =
  | { readonly kind: 'macvlan'; readonly mode: keyof typeof MACVLAN_MODE }
  | { readonly kind: 'ipvlan'; readonly mode: keyof typeof IPVLAN_MODE; readonly flag: keyof typeof IPVLAN_FLAG }
  | { readonly kind: 'vlan'; readonly id: number }
  | { readonly kind: 'dummy' }
  /** Stands for a dummy where the kernel has none. */
  | { readonly kind: 'veth'; readonly peer: string };

export interface NewLink {
  readonly name: string;
  readonly as: LinkKind;
  /** Index of the link it stands on. */
  readonly parent?: number;
  /** Descriptor of the namespace that it comes to. */
  readonly namespace?: number;
  readonly mac?: string;
  readonly mtu?: number;
  readonly up?: boolean;
}

export function createLink({ name, as, parent, namespace, mac, mtu, up }: NewLink): Request {
  return {
    name: `create ${as.kind} "${name}"`,
    type: RTM.NEWLINK,
    flags: NLM.CREATE | NLM.EXCL,
    header: linkHeader(0, up),
    attributes: [
      textAttribute(IFLA.IFNAME, name),
      ...(parent === undefined ? [] : [u32Attribute(IFLA.LINK, parent)]),
      ...(namespace === undefined ? [] : [u32Attribute(IFLA.NET_NS_FD, namespace)]),
      ...(mac === undefined ? [] : [attribute(IFLA.ADDRESS, macBytes(mac))]),
      ...(mtu === undefined ? [] : [u32Attribute(IFLA.MTU, mtu)]),
      linkInfo(as.kind, kindData(as)),
    ],
  };
}

function kindData(as: LinkKind): Attribute[] {
  switch (as.kind) {
    case 'macvlan':
      return [nested(IFLA_INFO.DATA, [u32Attribute(IFLA_MACVLAN_MODE, MACVLAN_MODE[as.mode])])];
    case 'ipvlan':
      return [
        nested(IFLA_INFO.DATA, [
          u16Attribute(IFLA_IPVLAN.MODE, IPVLAN_MODE[as.mode]),
          u16Attribute(IFLA_IPVLAN.FLAGS, IPVLAN_FLAG[as.flag]),
        ]),
      ];
    case 'vlan':
      return [nested(IFLA_INFO.DATA, [u16Attribute(IFLA_VLAN_ID, as.id)])];
    case 'veth': {
      // Up it cannot be before the other end is.
      const peer = concat([linkHeader(0), textAttribute(IFLA.IFNAME, as.peer)]);
      return [nested(IFLA_INFO.DATA, [attribute(VETH_INFO_PEER, peer)])];
    }
    case 'dummy':
      break;
  }
  return [];
}

/** Preconditions: it is down. */
export const renameLink = (index: number, name: string): Request => ({
  name: `rename link ${index} to "${name}"`,
  type: RTM.NEWLINK,
  flags: 0,
  header: linkHeader(index),
  attributes: [textAttribute(IFLA.IFNAME, name)],
});

/** Its name and a note for whoever finds it, and up: a note cannot be given with the request that makes a link. */
export const finishLink = (index: number, name: string, alias: string): Request => ({
  name: `set name and alias of link ${index}`,
  type: RTM.NEWLINK,
  flags: 0,
  header: linkHeader(index, true),
  attributes: [textAttribute(IFLA.IFNAME, name), textAttribute(IFLA.IFALIAS, alias)],
});

/**
 * A request that a kernel without links of this kind refuses as ENOTSUP, and any other for what is missing in it. It
 * makes the kernel load its module.
 */
export const probeKind = (kind: 'macvlan' | 'ipvlan' | 'vlan'): Request => ({
  name: `ask for ${kind}`,
  type: RTM.NEWLINK,
  flags: NLM.CREATE | NLM.EXCL,
  header: linkHeader(0),
  attributes: [linkInfo(kind)],
});

/** Takes a link of this namespace into another one, by another name and with another address. */
export const moveLink = (
  index: number,
  { namespace, name, mac }: { readonly namespace: number; readonly name: string; readonly mac: string },
): Request[] => [
  ...(mac === ''
    ? []
    : [
        {
          name: `set address of link ${index}`,
          type: RTM.NEWLINK,
          flags: 0,
          header: linkHeader(index),
          attributes: [attribute(IFLA.ADDRESS, macBytes(mac))],
        },
      ]),
  {
    name: `move link ${index} into the container as "${name}"`,
    type: RTM.NEWLINK,
    flags: 0,
    header: linkHeader(index),
    attributes: [u32Attribute(IFLA.NET_NS_FD, namespace), textAttribute(IFLA.IFNAME, name)],
  },
];
