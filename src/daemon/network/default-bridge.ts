/** Keys of daemon.json that are about the default bridge, as options of its driver. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import type { NetworkDefaults } from '#config/network-defaults.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { contains6, ipv6Number, ipv6Text, type Subnet6, subnet6Of, subnetOf } from '#libcontainer/netlink/ip.ts';
import type { BridgeOptions } from '#networkdriver/bridge-options.ts';

const OWN_PREFIX_LENGTH = 64;

/** Errors: invalid-parameter for keys that contradict each other. */
export function defaultBridgeOptions(defaults: NetworkDefaults, bridge: string): Partial<BridgeOptions> {
  const { interContainer, masquerade, hostBinding, mtu, fixedCidr, ipForward, gateway4, gateway6 } = defaults;
  const ipv6 = ipv6Of(defaults, bridge);
  return {
    interContainer,
    masquerade,
    hostBinding,
    keepForwarding: !ipForward,
    ...(mtu === undefined ? {} : { mtu }),
    ...(fixedCidr === '' ? {} : { range: subnetOf(fixedCidr) }),
    ...(gateway4 === '' ? {} : { gateway4 }),
    ...(gateway6 === '' ? {} : { gateway6 }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
  };
}

function ipv6Of(defaults: NetworkDefaults, bridge: string): BridgeOptions['ipv6'] {
  const { ipv6, bip6, fixedCidr6 } = defaults;
  if (!ipv6) return undefined;
  const range = fixedCidr6 === '' ? undefined : subnet6Of(fixedCidr6);
  if (bip6 === '') {
    const subnet = range ?? subnet6Of(`${ownPrefix(bridge)}::/${OWN_PREFIX_LENGTH}`);
    return { subnet, gateway: ipv6Text(subnet.first + 1n) };
  }
  const subnet: Subnet6 = subnet6Of(bip6);
  if (range !== undefined && !contains6(subnet, range.first)) {
    throw invalidParameter(
      `invalid value for "fixed-cidr-v6": "${fixedCidr6}" is not in the network of bip6 "${bip6}"`,
    );
  }
  const gateway = ipv6Text(ipv6Number(bip6.split('/')[0] ?? ''));
  return { subnet, gateway, ...(range === undefined ? {} : { range }) };
}

/** A network of RFC 4193 that is this host's at every start. */
function ownPrefix(bridge: string): string {
  let host = os.hostname();
  try {
    host = fs.readFileSync('/etc/machine-id', 'utf8').trim();
  } catch {
    // Hosts without an id have their name.
  }
  const digits = createHash('sha256').update(`berth ${host} ${bridge}`).digest('hex');
  return `fd${digits.slice(0, 2)}:${digits.slice(2, 6)}:${digits.slice(6, 10)}:${digits.slice(10, 14)}`;
}
