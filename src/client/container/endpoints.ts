/** Networks of a new container: the mode is the first one named; options without a network belong to it. */
import type { EndpointSettings } from '#api/types/network.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import type { FlagValues } from '../flags/flag-spec.ts';
import type { NetworkOption } from './network-option.ts';
import type { CREATE_FLAGS } from './run-flags.ts';

type Values = FlagValues<typeof CREATE_FLAGS>;

export const DEFAULT_NETWORK = 'default';

function networksOf(values: Values): readonly NetworkOption[] {
  return [...values.network, ...values.net];
}

export function networkModeOf(values: Values): string {
  return networksOf(values)[0]?.target ?? DEFAULT_NETWORK;
}

export function endpointsOf(values: Values): Record<string, EndpointSettings> {
  const networks = networksOf(values);
  const aliases = [...values['network-alias'], ...values['net-alias']];
  const loose: Partial<NetworkOption> = {
    ...(aliases.length === 0 ? {} : { aliases }),
    ...(values.ip === '' ? {} : { ipv4: values.ip }),
    ...(values.ip6 === '' ? {} : { ipv6: values.ip6 }),
    ...(values['link-local-ip'].length === 0 ? {} : { linkLocal: values['link-local-ip'] }),
    ...(values['mac-address'] === '' ? {} : { macAddress: values['mac-address'] }),
  };
  const [first, ...more] = networks;
  // Without any network named the daemon's default is joined; it needs an endpoint only to carry options.
  if (first === undefined && Object.keys(loose).length === 0) return {};
  const leading = { target: DEFAULT_NETWORK, ...first, ...loose };
  // In the network of another container there is no endpoint to ask anything of, so options are the daemon's to refuse.
  if (leading.target.startsWith('container:') && Object.keys(loose).length === 0 && more.length === 0) return {};
  const all = [leading, ...more];
  for (const { target, aliases = [] } of all) {
    const reserved = ['default', 'bridge', 'host', 'none'].includes(target) || target.startsWith('container:');
    if (reserved && aliases.length > 0) {
      throw invalidParameter('network-scoped aliases are only supported for user-defined networks');
    }
  }
  return Object.fromEntries(all.map((network) => [network.target, endpointOf(network)]));
}

/** What a connection to a network is asked to be, as the API has it. */
export function endpointOf(network: Partial<NetworkOption>): EndpointSettings {
  const { aliases = [], driverOptions = {}, ipv4 = '', ipv6 = '', linkLocal = [], macAddress = '' } = network;
  const ipam = {
    ...(ipv4 === '' ? {} : { IPv4Address: ipv4 }),
    ...(ipv6 === '' ? {} : { IPv6Address: ipv6 }),
    ...(linkLocal.length === 0 ? {} : { LinkLocalIPs: [...linkLocal] }),
  };
  return {
    IPAMConfig: Object.keys(ipam).length === 0 ? null : ipam,
    Links: null,
    Aliases: aliases.length === 0 ? null : [...aliases],
    MacAddress: macAddress,
    DriverOpts: Object.keys(driverOptions).length === 0 ? null : { ...driverOptions },
    GwPriority: network.gatewayPriority ?? 0,
    NetworkID: '',
    EndpointID: '',
    Gateway: '',
    IPAddress: '',
    IPPrefixLen: 0,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  };
}
