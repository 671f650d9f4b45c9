/** The driver of a network from its record: what its options mean, and who gives its addresses. */
import type { IpamPool } from '#api/types/network.ts';
import type { NetworkDefaults } from '#config/network-defaults.ts';
import { subnet6Of, subnetOf } from '#libcontainer/netlink/ip.ts';
import { type Addresses, LocalAddresses, NoAddresses, type PoolOptions } from '#networkdriver/addresses.ts';
import { BridgeDriver } from '#networkdriver/bridge.ts';
import type { BridgeHost } from '#networkdriver/bridge-host.ts';
import type { BridgeOptions } from '#networkdriver/bridge-options.ts';
import { DirectDriver, type DirectParent } from '#networkdriver/direct/direct.ts';
import { type DirectKind, directOptionsOf } from '#networkdriver/direct/options.ts';
import type { NetworkDriver } from '#networkdriver/driver.ts';
import { RemoteDriver } from '#networkdriver/remote/driver.ts';
import { IpamPlugin, PluginAddresses } from '#networkdriver/remote/ipam.ts';
import { ConfigurationDriver } from './config-only.ts';
import { bridgeNameOf, flagOption, gatewayMode, OPTION } from './options.ts';
import type { NetworkRecord } from './record.ts';

export interface DriverContext {
  readonly host: () => BridgeHost;
  readonly defaults: NetworkDefaults;
  /** Who makes links here: name of our tables. */
  readonly owner: string;
  readonly drivers: () => readonly NetworkDriver[];
}

export const isDirect = (driver: string): driver is DirectKind => driver === 'macvlan' || driver === 'ipvlan';

const isSix = (pool: IpamPool): boolean => (pool.Subnet ?? '').includes(':');

const fourOf = (record: NetworkRecord): IpamPool | undefined => (record.ipam.Config ?? []).find((pool) => !isSix(pool));
const sixOf = (record: NetworkRecord): IpamPool | undefined => (record.ipam.Config ?? []).find(isSix);
const reservedOf = (pool: IpamPool | undefined): string[] => Object.values(pool?.AuxiliaryAddresses ?? {});

export function makeDriver(record: NetworkRecord, context: DriverContext): NetworkDriver {
  const { driver } = record;
  if (record.configOnly === true) return new ConfigurationDriver(record.id);
  if (driver === 'bridge') {
    const { defaults, host } = context;
    return new BridgeDriver({ ...bridgeOptionsOf(record), keepForwarding: !defaults.ipForward, host: host() });
  }
  if (isDirect(driver)) return directDriverOf(record, driver, context);
  return new RemoteDriver({
    plugin: driver,
    networkId: record.id,
    options: record.options,
    internal: record.internal,
    ipv6: record.enableIPv6,
    pools: record.ipam.Config ?? [],
    addresses: addressesOf(record),
  });
}

function directDriverOf(record: NetworkRecord, kind: DirectKind, { owner, drivers }: DriverContext): NetworkDriver {
  const made = new DirectDriver({
    ...directOptionsOf(kind, record.options),
    networkId: record.id,
    addresses: addressesOf(record),
    gateways: (record.ipam.Config ?? []).map(({ Subnet = '', Gateway = '' }) => ({ subnet: Subnet, gateway: Gateway })),
    internal: record.internal,
    owner,
    otherParents: (): DirectParent[] =>
      drivers().flatMap((other) => (other instanceof DirectDriver && other !== made ? [other.parent] : [])),
  });
  return made;
}

function addressesOf(record: NetworkRecord): Addresses {
  const { ipam, pools } = record;
  if (pools !== undefined) return new PluginAddresses(new IpamPlugin(ipam.Driver), pools);
  if (ipam.Driver === 'null') return new NoAddresses();
  const config = ipam.Config ?? [];
  const sixes = config.filter(isSix).map((pool) => poolOf(pool, subnet6Of));
  return new LocalAddresses(
    config.filter((pool) => !isSix(pool)).map((pool) => poolOf(pool, subnetOf)),
    sixes,
    shownOf(record),
  );
}

/** As dockerd calls a network in its messages. */
const shownOf = ({ name, id }: NetworkRecord): string => `${name} (${id})`;

function poolOf<T>(pool: IpamPool, read: (network: string) => T): PoolOptions<T> {
  return {
    subnet: read(pool.Subnet ?? ''),
    reserved: [pool.Gateway ?? '', ...reservedOf(pool)].filter((ip) => ip !== ''),
    ...(pool.IPRange === undefined ? {} : { range: read(pool.IPRange) }),
  };
}

function bridgeOptionsOf(record: NetworkRecord): BridgeOptions {
  const { options, internal, enableIPv4 } = record;
  const [four, six] = [fourOf(record), sixOf(record)];
  const mtu = options[OPTION.mtu];
  const sources = [options[OPTION.hostIpv4], options[OPTION.hostIpv6]].filter((ip) => ip !== undefined);
  const trusted = options[OPTION.trusted];
  return {
    networkId: record.id,
    shown: shownOf(record),
    bridge: bridgeNameOf(record),
    given: false,
    ipv4: enableIPv4,
    ...(four === undefined ? {} : { bip: `${four.Gateway ?? ''}/${(four.Subnet ?? '').split('/')[1] ?? ''}` }),
    internal,
    reserved: reservedOf(four),
    interContainer: flagOption(options, OPTION.interContainer, true),
    masquerade: flagOption(options, OPTION.masquerade, true),
    hostBinding: options[OPTION.hostBinding] ?? '',
    mode4: gatewayMode(options, OPTION.gatewayMode4),
    mode6: gatewayMode(options, OPTION.gatewayMode6),
    withoutAddress: flagOption(options, OPTION.inhibitIpv4, false),
    sourceAddresses: sources,
    ...(trusted === undefined ? {} : { trusted: trusted.split(':') }),
    ...(mtu === undefined ? {} : { mtu: Number(mtu) }),
    ...(four?.IPRange === undefined ? {} : { range: subnetOf(four.IPRange) }),
    ...(six === undefined ? {} : { ipv6: { ...poolOf(six, subnet6Of), gateway: six.Gateway ?? '' } }),
    ...(record.pools === undefined ? {} : { addresses: addressesOf(record) }),
  };
}
