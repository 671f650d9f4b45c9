/**
 * daemon.json keys of networks: the default bridge's own (`icc`, `ip`, `ip-masq`, `mtu`, `ipv6`, `fixed-cidr` …), what
 * holds for all (`iptables`, `allow-direct-routing` …), and what new networks get when their request does not say (`default-address-pools`, `default-network-opts`).
 */
import { isIPv4, isIPv6 } from 'node:net';
import { invalidParameter } from '#errdefs/errors.ts';
import type { ConfigValue } from './values.ts';

export interface AddressPoolDefault {
  /** '10.0.0.0/8', 'fd00::/48' */
  readonly base: string;
  /** Prefix length of each network cut from it. */
  readonly size: number;
}

export interface NetworkDefaults {
  /** Empty: Docker's pools. */
  readonly pools: readonly AddressPoolDefault[];
  /** Containers of the default bridge may talk to each other. */
  readonly interContainer: boolean;
  readonly masquerade: boolean;
  /** Address of the host on which ports are published that name none; '': all. */
  readonly hostBinding: string;
  /** Of the default bridge; undefined: the kernel's. */
  readonly mtu: number | undefined;
  /** Part of the default bridge's network that containers get addresses of; '': all of it. */
  readonly fixedCidr: string;
  /** Options of new networks, by driver. */
  readonly options: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Packets between networks and out of the host are switched on when they are off. */
  readonly ipForward: boolean;
  /** `host-firewall`: published ports are reachable as far as the host's input chains say. */
  readonly publishPolicy: 'docker' | 'host-firewall';
  /** Of the default bridge. */
  readonly ipv6: boolean;
  /** The default bridge's IPv6 address and network; '': chosen. */
  readonly bip6: string;
  readonly fixedCidr6: string;
  /** Instead of the default bridge's own address. */
  readonly gateway4: string;
  readonly gateway6: string;
  /** False: no rules of ours for IPv4, for IPv6. */
  readonly iptables: boolean;
  readonly ip6tables: boolean;
  /** Published ports are reached by the containers' own addresses as well. */
  readonly directRouting: boolean;
  /** '': none. */
  readonly acceptMark: string;
  /** What `host-gateway` stands for; empty: the container's gateway. */
  readonly hostGateways: readonly string[];
}

type Values = ReadonlyMap<string, ConfigValue>;

const MTU = { least: 68, most: 65_535 } as const;

/** Errors: invalid-parameter naming the key. */
export function networkDefaultsOf(values: Values): NetworkDefaults {
  const mtu = values.get('mtu');
  if (mtu !== undefined && mtu !== 0 && !(Number(mtu) >= MTU.least && Number(mtu) <= MTU.most)) {
    throw invalidParameter(`invalid value for "mtu": ${JSON.stringify(mtu)}: want ${MTU.least} to ${MTU.most}`);
  }
  const hostBinding = textOf(values, 'ip');
  if (hostBinding !== '' && !isIPv4(hostBinding)) {
    throw invalidParameter(`invalid value for "ip": "${hostBinding}" is no IPv4 address`);
  }
  const fixedCidr = textOf(values, 'fixed-cidr');
  if (fixedCidr !== '' && !isNetwork(fixedCidr)) {
    throw invalidParameter(`invalid value for "fixed-cidr": "${fixedCidr}": want A.B.C.D/LENGTH`);
  }
  const acceptMark = textOf(values, 'bridge-accept-fwmark');
  if (acceptMark !== '' && !/^(0x[0-9a-f]{1,8}|\d{1,10})(\/(0x[0-9a-f]{1,8}|\d{1,10}))?$/i.test(acceptMark)) {
    throw invalidParameter(`invalid value for "bridge-accept-fwmark": "${acceptMark}": want MARK or MARK/MASK`);
  }
  const bip6 = checked(values, 'bip6', isNetwork6, 'ADDRESS/LENGTH of IPv6');
  const fixedCidr6 = checked(values, 'fixed-cidr-v6', isNetwork6, 'ADDRESS/LENGTH of IPv6');
  const hostGateways = values.get('host-gateway-ips');
  return {
    ipv6: values.get('ipv6') === true,
    bip6,
    fixedCidr6,
    gateway4: checked(values, 'default-gateway', isIPv4, 'an IPv4 address'),
    gateway6: checked(values, 'default-gateway-v6', isIPv6, 'an IPv6 address'),
    iptables: values.get('iptables') !== false,
    ip6tables: values.get('iptables') !== false && values.get('ip6tables') !== false,
    directRouting: values.get('allow-direct-routing') === true,
    acceptMark,
    hostGateways: hostGatewaysOf(
      // as: a list of strings by its type.
      Array.isArray(hostGateways) ? (hostGateways as readonly string[]) : [textOf(values, 'host-gateway-ip')],
    ),
    pools: poolsOf(values.get('default-address-pools')),
    interContainer: values.get('icc') !== false,
    masquerade: values.get('ip-masq') !== false,
    hostBinding: hostBinding === '0.0.0.0' ? '' : hostBinding,
    mtu: mtu === undefined || mtu === 0 ? undefined : Number(mtu),
    fixedCidr,
    options: optionsOf(values.get('default-network-opts')),
    ipForward: values.get('ip-forward') !== false,
    publishPolicy: publishPolicyOf(textOf(values, 'publish-policy')),
  };
}

const textOf = (values: Values, key: string): string => {
  const value = values.get(key);
  return typeof value === 'string' ? value : '';
};

function publishPolicyOf(text: string): NetworkDefaults['publishPolicy'] {
  if (text === '' || text === 'docker') return 'docker';
  if (text === 'host-firewall') return text;
  throw invalidParameter(`invalid value for "publish-policy": "${text}": want docker or host-firewall`);
}

function checked(values: Values, key: string, fits: (text: string) => boolean, want: string): string {
  const text = textOf(values, key);
  if (text === '' || fits(text)) return text;
  throw invalidParameter(`invalid value for "${key}": "${text}": want ${want}`);
}

/** At most one of each family. */
function hostGatewaysOf(given: readonly string[]): string[] {
  const ips = given.flatMap((text) => text.split(',')).filter((text) => text !== '');
  const fours = ips.filter(isIPv4);
  const sixes = ips.filter(isIPv6);
  if (fours.length + sixes.length !== ips.length || fours.length > 1 || sixes.length > 1) {
    throw invalidParameter(`invalid value for "host-gateway-ips": "${ips.join(',')}": want one address of each family`);
  }
  return [...fours, ...sixes];
}

function isNetwork6(text: string): boolean {
  const [base = '', length = '', more] = text.split('/');
  return isIPv6(base) && /^\d{1,3}$/.test(length) && Number(length) <= 128 && more === undefined;
}

function isNetwork(text: string): boolean {
  const [base = '', length = '', more] = text.split('/');
  return isIPv4(base) && /^\d{1,2}$/.test(length) && Number(length) <= 32 && more === undefined;
}

/** A network needs addresses for a gateway and a container. */
const SIZE_MOST = { four: 30, six: 126 } as const;

/** Of the file objects, of a flag `base=10.0.0.0/8,size=24`. */
function poolsOf(value: ConfigValue | undefined): AddressPoolDefault[] {
  if (!Array.isArray(value)) return [];
  return value.map((given: unknown) => {
    // as: a list of objects by its type, or what flags said.
    const pool = typeof given === 'string' ? fromFlag(given) : (given as object);
    const base: unknown = Reflect.get(pool, 'base') ?? Reflect.get(pool, 'Base');
    const size = Number(Reflect.get(pool, 'size') ?? Reflect.get(pool, 'Size'));
    const shown = typeof given === 'string' ? given : JSON.stringify(given);
    if (typeof base !== 'string' || !(isNetwork(base) || isNetwork6(base))) {
      throw invalidParameter(`invalid value for "default-address-pools": ${shown}: base must be a network`);
    }
    const most = base.includes(':') ? SIZE_MOST.six : SIZE_MOST.four;
    if (!Number.isInteger(size) || size < Number(base.split('/')[1]) || size > most) {
      throw invalidParameter(
        `invalid value for "default-address-pools": ${shown}: size must lie between the base's and ${most}`,
      );
    }
    return { base, size };
  });
}

const fromFlag = (text: string): Record<string, string> =>
  Object.fromEntries(text.split(',').map((part) => [part.split('=')[0] ?? '', part.slice(part.indexOf('=') + 1)]));

/** Of the file {"bridge": {"…mtu": "1400"}}, of a flag `bridge=…mtu=1400`. */
function optionsOf(value: ConfigValue | undefined): NetworkDefaults['options'] {
  if (typeof value !== 'object' || Array.isArray(value)) return {};
  return Object.fromEntries(
    Object.entries(value).map(([driver, options]) => {
      if (typeof options === 'string') return [driver, fromFlag(options)];
      const entries = Object.entries(Object(options) as Record<string, unknown>);
      return [driver, Object.fromEntries(entries.map(([key, one]) => [key, String(one)]))];
    }),
  );
}
