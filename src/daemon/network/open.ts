/** Makes the drivers of networks from their records. */
import type { DaemonConfig } from '#config/daemon-config.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import { type Rules, tableNameOf } from '#libcontainer/firewall/firewall.ts';
import { holdLowDescriptors } from '#libcontainer/firewall/session.ts';
import { BridgeDriver } from '#networkdriver/bridge.ts';
import type { BridgeFacts } from '#networkdriver/bridge-options.ts';
import { BridgeHost } from '#networkdriver/bridge-host.ts';
import { giveCarrier, takeCarrier } from '#networkdriver/carrier.ts';
import { PlainDriver } from '#networkdriver/plain.ts';
import { defaultBridgeOptions } from './default-bridge.ts';
import { makeDriver } from './drivers.ts';
import { networkIdOf } from './names.ts';
import type { NetworkRecord } from './record.ts';
import { type Network, Networks } from './registry.ts';

export interface OpenNetworks {
  readonly networks: Networks;
  /** The default bridge as it is now; undefined with `--bridge none`. */
  readonly bridge: () => BridgeFacts | undefined;
  /** Whether the default bridge has a carrier also while no container is on it. Idempotent. */
  readonly carryBridge: (wanted: boolean) => Promise<void>;
  /** Of all bridges; made when it is first asked for. */
  readonly firewall: () => Rules;
  close(): Promise<void>;
}

export function openNetworks(options: {
  readonly config: Pick<DaemonConfig, 'bridge' | 'bip' | 'networkDefaults'>;
  readonly suffix: string | undefined;
  readonly db: GraphDb;
  readonly startedAt: string;
  /** Others had emptied the firewall's tables, and they are there again. */
  readonly repaired: () => void;
  /** Others had deleted the default bridge, and it is there again. */
  readonly remade: () => void;
}): OpenNetworks {
  const { config, suffix, db, startedAt } = options;
  holdLowDescriptors();
  // Loading libnftables is not needed by a daemon without bridges.
  let shared: BridgeHost | undefined;
  const { networkDefaults: defaults } = config;
  const host = (): BridgeHost => {
    const { pools, iptables, ip6tables, directRouting, acceptMark } = defaults;
    const policy = { ip6: ip6tables, directRouting, ...(acceptMark === '' ? {} : { acceptMark }) };
    shared ??= new BridgeHost(suffix, pools, iptables ? policy : 'none');
    shared.repaired = options.repaired;
    return shared;
  };
  const plain = (name: 'host' | 'none'): Network => ({
    record: predefined(name, name === 'none' ? 'null' : name, startedAt),
    driver: new PlainDriver(name, networkIdOf(name)),
  });
  const first = [plain('host'), plain('none')];
  let bridge: BridgeDriver | undefined;
  if (config.bridge !== 'none') {
    const name = config.bridge ?? (suffix === undefined ? 'berth0' : `berth-${suffix}`);
    bridge = new BridgeDriver({
      networkId: networkIdOf('bridge'),
      host: host(),
      bridge: name,
      given: config.bridge !== undefined,
      remade: options.remade,
      ...(config.bip === undefined ? {} : { bip: config.bip }),
      ...defaultBridgeOptions(defaults, name),
    });
    first.unshift({
      record: { ...predefined('bridge', 'bridge', startedAt), enableIPv6: defaults.ipv6 },
      driver: bridge,
    });
  }
  const context = {
    host,
    defaults,
    owner: tableNameOf(suffix),
    drivers: () => networks.all().map(({ driver }) => driver),
  };
  const networks: Networks = new Networks({
    db,
    make: (record) => makeDriver(record, context),
    choose: (taken) => host().chooseSubnet(taken),
    choose6: (taken) => host().chooseSubnet6(taken),
    predefined: first,
  });
  return {
    networks,
    bridge: () => bridge?.facts(),
    carryBridge: async (wanted) => {
      if (bridge === undefined) return;
      if (wanted) giveCarrier(host().netlink, bridge.facts().name, suffix);
      else await takeCarrier(host().netlink, suffix);
    },
    firewall: () => host().firewall,
    close: async () => {
      await networks.close();
      shared?.[Symbol.dispose]();
    },
  };
}

function predefined(name: string, driver: string, createdAt: string): NetworkRecord {
  return {
    id: networkIdOf(name),
    name,
    createdAt,
    driver,
    enableIPv4: true,
    enableIPv6: false,
    internal: false,
    attachable: false,
    options: {},
    labels: {},
    ipam: { Driver: 'default', Options: null, Config: [] },
    userSubnets: [],
    removing: false,
  };
}
