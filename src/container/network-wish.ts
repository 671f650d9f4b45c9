/** What a user asks of a container's connection to one network: read from the wire and checked. Pure. */
import { isIP, isIPv4, isIPv6 } from 'node:net';
import type { EndpointSettings } from '#api/types/network.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { checkEndpointOptions } from './endpoint-options.ts';

/** What the user asked of a container's connection to one network; '' is nothing. */
export interface NetworkWish {
  /** '' until it is known. */
  readonly networkId: string;
  readonly aliases: readonly string[];
  /** 'CONTAINER:ALIAS' */
  readonly links: readonly string[];
  readonly ip: string;
  readonly ip6: string;
  readonly mac: string;
  readonly driverOpts: Readonly<Record<string, string>> | null;
  readonly gwPriority: number;
  /** Absent in documents of older builds. */
  readonly linkLocal?: readonly string[];
  /** An IPAMConfig came that asks for nothing: inspect shows it as it came. */
  readonly emptyIpam?: true;
}

export const noWish: NetworkWish = {
  networkId: '',
  aliases: [],
  links: [],
  ip: '',
  ip6: '',
  mac: '',
  driverOpts: null,
  gwPriority: 0,
};

/** An IPv4 address in the clothes of the other family. */
const MAPPED = /^::ffff:\d+\.\d+\.\d+\.\d+$/i;
const MAC = /^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i;

/** Errors: invalid-parameter naming the value. */
export function wishOf(networkId: string, settings: EndpointSettings | null, mac = ''): NetworkWish {
  const { IPv4Address: ip = '', IPv6Address: ip6 = '', LinkLocalIPs: linkLocal } = settings?.IPAMConfig ?? {};
  if (ip !== '' && !isIPv4(ip)) throw invalidParameter(`invalid IPv4 address: ${ip}`);
  if (ip6 !== '' && (!isIPv6(ip6) || MAPPED.test(ip6))) throw invalidParameter(`invalid IPv6 address: ${ip6}`);
  for (const address of linkLocal ?? []) {
    if (isIP(address) === 0) throw invalidParameter(`invalid link-local IP address: ${address}`);
  }
  checkEndpointOptions(settings?.DriverOpts ?? {});
  const wanted = (settings?.MacAddress ?? '') === '' ? mac : (settings?.MacAddress ?? '');
  if (wanted !== '' && !MAC.test(wanted)) throw invalidParameter(`invalid MAC address ${wanted}`);
  return {
    networkId,
    aliases: [...new Set(settings?.Aliases ?? [])],
    links: settings?.Links ?? [],
    ip,
    ip6,
    mac: wanted.replaceAll('-', ':').toLowerCase(),
    driverOpts: settings?.DriverOpts ?? null,
    gwPriority: settings?.GwPriority ?? 0,
    ...((linkLocal ?? []).length === 0 ? {} : { linkLocal: linkLocal ?? [] }),
    ...((settings?.IPAMConfig ?? null) !== null && ip === '' && ip6 === '' ? { emptyIpam: true } : {}),
  };
}
