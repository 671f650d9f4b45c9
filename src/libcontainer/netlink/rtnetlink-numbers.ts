/** Numbers of rtnetlink: linux/rtnetlink.h, if_link.h, if_addr.h, neighbour.h. */
export const RTM = { NEWLINK: 16, DELLINK: 17, GETLINK: 18, NEWADDR: 20, DELADDR: 21, GETADDR: 22 } as const;
export const RTM_ROUTE = { NEW: 24, DEL: 25, GET: 26 } as const;
export const RTM_NEIGHBOUR = { NEW: 28 } as const;
export const IFF_UP = 1;
export const IFF_NOARP = 0x80;
export const AF = { INET: 2, BRIDGE: 7, INET6: 10 } as const;
export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  LINKINFO: 18,
  IFALIAS: 20,
  AF_SPEC: 26,
  GROUP: 27,
  NET_NS_FD: 28,
} as const;
export const IFLA_QUEUES = { TX: 31, RX: 32 } as const;
export const IFLA_INFO = { KIND: 1, DATA: 2, SLAVE_KIND: 4, SLAVE_DATA: 5 } as const;
export const IFLA_BRPORT = {
  MODE: 4,
  LEARNING: 8,
  UNICAST_FLOOD: 9,
  MCAST_FLOOD: 27,
  BCAST_FLOOD: 30,
  ISOLATED: 33,
} as const;
export const VETH_INFO_PEER = 1;
export const IFLA_INET6_ADDR_GEN_MODE = 8;
export const ADDR_GEN_NONE = 1;
export const IFA = { ADDRESS: 1, LOCAL: 2, BROADCAST: 4, FLAGS: 8 } as const;
export const IFA_F_NODAD = 2;
export const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, TABLE: 15 } as const;
export const TABLE_MAIN = 254;
export const TABLE_LOCAL = 255;
export const ROUTE = {
  protocolBoot: 3,
  scopeUniverse: 0,
  scopeLink: 253,
  scopeHost: 254,
  typeUnicast: 1,
  typeLocal: 2,
} as const;
export const NDA = { DST: 1, LLADDR: 2 } as const;
export const NUD_PERMANENT = 0x80;
