/** What a bridge network may be asked to be, and what it says of itself. */
import type { Subnet, Subnet6 } from '#libcontainer/netlink/ip.ts';
import type { Addresses } from './addresses.ts';
import type { BridgeHost } from './bridge-host.ts';
import type { BridgeConfig } from './bridge-link.ts';

export interface BridgeOptions extends BridgeConfig {
  readonly networkId: string;
  /** What messages call the network. */
  readonly shown?: string;
  /** Shared with other bridges; by default one of its own. */
  readonly host?: BridgeHost;
  /** For a host of its own. */
  readonly suffix?: string;
  /** Somebody had deleted the bridge, and it is there again: another one of the same name. */
  readonly remade?: () => void;
  /** Instead of pools of the driver's own. */
  readonly addresses?: Addresses;
  /** Parts of the IPv4 network: addresses that are given unasked, and addresses that never are. */
  readonly range?: Subnet;
  readonly reserved?: readonly string[];
  readonly ipv6?: {
    readonly subnet: Subnet6;
    readonly gateway: string;
    readonly range?: Subnet6;
    readonly reserved?: readonly string[];
  };
  /** How a network's containers and the world meet, by family. Default nat. */
  readonly mode4?: GatewayMode;
  readonly mode6?: GatewayMode;
  /** What containers have as gateway, where that is not the bridge. */
  readonly gateway4?: string;
  readonly gateway6?: string;
  /** Instead of masquerading: addresses of the host, one of a family. */
  readonly sourceAddresses?: readonly string[];
  /** Links of the host from which every port of the containers may be reached. */
  readonly trusted?: readonly string[];
  /** Containers of the network may talk to each other. Default true. */
  readonly interContainer?: boolean;
  /** Default true. */
  readonly masquerade?: boolean;
  /** Nothing leads in or out. */
  readonly internal?: boolean;
  /** Address of the host on which ports are published that name none. */
  readonly hostBinding?: string;
}

/**
 * nat: published ports of the host lead to containers, which have the host's address outside. nat-unprotected: as nat,
 * and every port may be reached by the container's own address. routed: no translation, published ports are reached by
 * the container's own address. isolated: the host has no address on the bridge.
 */
export type GatewayMode = 'nat' | 'nat-unprotected' | 'routed' | 'isolated';

/** What /networks and inspect show. */
export interface BridgeFacts {
  readonly name: string;
  readonly subnet: string;
  readonly gateway: string;
  /** Undefined: none. */
  readonly ipv6: { readonly subnet: string; readonly gateway: string } | undefined;
  readonly interContainer: boolean;
  readonly masquerade: boolean;
  readonly hostBinding: string;
  readonly mtu: number;
  /** What of the host keeps packets from it. */
  readonly warnings: readonly string[];
}
