/** Makes the drivers of networks from their records. */
import type { DaemonConfig } from '#config/daemon-config.ts';
import type { NetworkDefaults } from '#config/network-defaults.ts';
import { notImplemented } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import type { Firewall } from '#libcontainer/firewall/firewall.ts';
import { subnet6Of, subnetOf } from '#libcontainer/netlink/ip.ts';
import { BridgeDriver, type BridgeFacts, type BridgeOptions } from '#networkdriver/bridge.ts';
import { BridgeHost } from '#networkdriver/bridge-host.ts';
import type { NetworkDriver } from '#networkdriver/driver.ts';
import { PlainDriver } from '#networkdriver/plain.ts';
import { networkIdOf } from './names.ts';
import { bridgeNameOf, flagOption, OPTION } from './options.ts';
import type { NetworkRecord } from './record.ts';
import { type Network, Networks } from './registry.ts';

export interface OpenNetworks {
  readonly networks: Networks;
  /** The default bridge as it is now; undefined with `--bridge none`. */
  readonly bridge: () => BridgeFacts | undefined;
  /** Of all bridges; made when it is first asked for. */
  readonly firewall: () => Firewall;
  close(): Promise<void>;
}

export function openNetworks(options: {
  readonly config: Pick<DaemonConfig, 'bridge' | 'bip' | 'networkDefaults'>;
  readonly suffix: string | undefined;
  readonly db: GraphDb;
  readonly startedAt: string;
  /** Others had emptied the firewall's tables, and they are there again. */
  readonly repaired: () => void;
}): OpenNetworks {
  const { config, suffix, db, startedAt } = options;
  // Loading libnftables is not needed by a daemon without bridges.
  let shared: BridgeHost | undefined;
  const host = (): BridgeHost => {
    shared ??= new BridgeHost(suffix, config.networkDefaults.pools);
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
    bridge = new BridgeDriver({
      networkId: networkIdOf('bridge'),
      host: host(),
      bridge: config.bridge ?? (suffix === undefined ? 'berth0' : `berth-${suffix}`),
      given: config.bridge !== undefined,
      ...(config.bip === undefined ? {} : { bip: config.bip }),
      ...defaultBridgeOptions(config.networkDefaults),
    });
    first.unshift({ record: predefined('bridge', 'bridge', startedAt), driver: bridge });
  }
  const networks = new Networks({
    db,
    make: (record) => driverOf(record, host, config.networkDefaults),
    choose: (taken) => host().chooseSubnet(taken),
    predefined: first,
  });
  return {
    networks,
    bridge: () => bridge?.facts(),
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

/** Keys of daemon.json that are about the default bridge. */
function defaultBridgeOptions(defaults: NetworkDefaults): Partial<BridgeOptions> {
  const { interContainer, masquerade, hostBinding, mtu, fixedCidr, ipForward } = defaults;
  return {
    interContainer,
    masquerade,
    hostBinding,
    keepForwarding: !ipForward,
    ...(mtu === undefined ? {} : { mtu }),
    ...(fixedCidr === '' ? {} : { range: subnetOf(fixedCidr) }),
  };
}

function driverOf(record: NetworkRecord, host: () => BridgeHost, defaults: NetworkDefaults): NetworkDriver {
  if (record.driver !== 'bridge') throw notImplemented(`network driver "${record.driver}" is not supported`);
  return new BridgeDriver({ ...bridgeOptionsOf(record), keepForwarding: !defaults.ipForward, host: host() });
}

function bridgeOptionsOf(record: NetworkRecord): BridgeOptions {
  const { options, ipam, internal } = record;
  const pools = ipam.Config ?? [];
  const four = pools.find((pool) => !(pool.Subnet ?? '').includes(':'));
  const six = pools.find((pool) => (pool.Subnet ?? '').includes(':'));
  const mtu = options[OPTION.mtu];
  const reserved = (pool: typeof four) => Object.values(pool?.AuxiliaryAddresses ?? {});
  return {
    networkId: record.id,
    bridge: bridgeNameOf(record),
    given: false,
    bip: `${four?.Gateway ?? ''}/${(four?.Subnet ?? '').split('/')[1] ?? ''}`,
    internal,
    reserved: reserved(four),
    interContainer: flagOption(options, OPTION.interContainer, true),
    masquerade: flagOption(options, OPTION.masquerade, true),
    hostBinding: options[OPTION.hostBinding] ?? '',
    ...(mtu === undefined ? {} : { mtu: Number(mtu) }),
    ...(four?.IPRange === undefined ? {} : { range: subnetOf(four.IPRange) }),
    ...(six?.Subnet === undefined
      ? {}
      : {
          ipv6: {
            subnet: subnet6Of(six.Subnet),
            gateway: six.Gateway ?? '',
            reserved: reserved(six),
            ...(six.IPRange === undefined ? {} : { range: subnet6Of(six.IPRange) }),
          },
        }),
  };
}
