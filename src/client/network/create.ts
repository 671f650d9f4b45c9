/** `network create`. */
import { ApiError } from '#api/client/api-error.ts';
import { createNetwork, inspectNetwork } from '#api/client/networks.ts';
import type { IpamPool, NetworkCreateResponse } from '#api/types/network.ts';
import { defineCommand, ExitError } from '../command.ts';
import { POLICY_FLAGS, policyWords } from '../container/health-options.ts';
import { toRecord } from '../container/variables.ts';
import { flag, list, text } from '../flags/flag-spec.ts';

export const create = defineCommand({
  operands: 'NETWORK',
  count: [1, 1],
  flags: {
    attachable: flag('Enable manual container attachment'),
    'aux-address': list('Auxiliary IPv4 or IPv6 addresses used by Network driver', { typeName: 'map' }),
    'config-from': text('The network from which to copy the configuration'),
    'config-only': flag('Create a configuration only network'),
    driver: text('Driver to manage the Network', { shorthand: 'd', initial: 'bridge' }),
    gateway: list('IPv4 or IPv6 Gateway for the master subnet', { typeName: 'strings' }),
    ignore: flag('Succeed if a network of this name exists, whatever its options'),
    ingress: flag('Create swarm routing-mesh network'),
    internal: flag('Restrict external access to the network'),
    'ip-range': list('Allocate container ip from a sub-range', { typeName: 'strings' }),
    'ipam-driver': text('IP Address Management Driver', { initial: 'default' }),
    'ipam-opt': list('Set IPAM driver specific options', { typeName: 'map' }),
    ipv4: flag('Enable or disable IPv4 address assignment', { initial: true }),
    ipv6: flag('Enable or disable IPv6 address assignment'),
    label: list('Set metadata on a network'),
    opt: list('Set driver specific options', { shorthand: 'o', typeName: 'map' }),
    scope: text("Control the network's scope"),
    ...POLICY_FLAGS,
    subnet: list('Subnet in CIDR format that represents a network segment', { typeName: 'strings' }),
  },
  examples: ['berth network create app', 'berth network create --subnet 10.20.0.0/24 --internal db'],
  async run(context, { values, given, positionals: [name = ''] }) {
    const body = {
      Name: name,
      Driver: values.driver,
      Scope: values.scope,
      ...(given.has('ipv4') ? { EnableIPv4: values.ipv4 } : {}),
      ...(given.has('ipv6') ? { EnableIPv6: values.ipv6 } : {}),
      Internal: values.internal,
      Attachable: values.attachable,
      Ingress: values.ingress,
      ConfigOnly: values['config-only'],
      ConfigFrom: values['config-from'] === '' ? null : { Network: values['config-from'] },
      IPAM: {
        Driver: values['ipam-driver'],
        Options: toRecord(values['ipam-opt']),
        Config: poolsOf({
          subnets: split(values.subnet),
          ranges: split(values['ip-range']),
          gateways: split(values.gateway),
          auxiliary: toRecord(values['aux-address']),
        }),
      },
      Options: { ...toRecord(values.opt), ...policyWords(values) },
      Labels: toRecord(values.label),
    };
    let created: NetworkCreateResponse;
    try {
      created = await createNetwork(context.client(), body);
    } catch (error) {
      if (!values.ignore || !(error instanceof ApiError) || error.kind !== 'conflict') throw error;
      const existing = await inspectNetwork(context.client(), name).catch(() => undefined);
      // A conflict about something else, such as a pool that is taken.
      if (existing?.Name !== name) throw error;
      created = { Id: existing.Id, Warning: '' };
    }
    if (created.Warning !== '') context.io.err(`WARNING: ${created.Warning}\n`);
    context.io.out(`${created.Id}\n`);
  },
});

/** Values may be given one by one or with commas. */
const split = (values: readonly string[]): string[] =>
  values.flatMap((value) => value.split(',')).filter((v) => v !== '');

interface Named {
  readonly subnets: readonly string[];
  readonly ranges: readonly string[];
  readonly gateways: readonly string[];
  readonly auxiliary: Readonly<Record<string, string>>;
}

/** Each range, gateway and address goes to the subnet that it lies in. Errors: ExitError in docker's words. */
export function poolsOf({ subnets, ranges, gateways, auxiliary }: Named): IpamPool[] {
  if (subnets.length === 0 && (ranges.length > 0 || gateways.length > 0)) {
    throw new ExitError(1, 'every ip-range or gateway must have a corresponding subnet');
  }
  const pools = subnets.map((subnet): IpamPool => ({ Subnet: subnet }));
  const poolOf = (address: string): IpamPool | undefined => pools.find((pool) => holds(pool.Subnet ?? '', address));
  for (const range of ranges) {
    const pool = poolOf(range.split('/')[0] ?? '');
    if (pool === undefined) throw new ExitError(1, `no matching subnet for range ${range}`);
    if (pool.IPRange !== undefined) {
      throw new ExitError(
        1,
        `cannot configure multiple ranges (${range}, ${pool.IPRange}) on the same subnet (${pool.Subnet})`,
      );
    }
    pool.IPRange = range;
  }
  for (const gateway of gateways) {
    const pool = poolOf(gateway);
    if (pool === undefined) throw new ExitError(1, `no matching subnet for gateway ${gateway}`);
    if (pool.Gateway !== undefined) {
      throw new ExitError(
        1,
        `cannot configure multiple gateways (${gateway}, ${pool.Gateway}) for the same subnet (${pool.Subnet})`,
      );
    }
    pool.Gateway = gateway;
  }
  for (const [name, address] of Object.entries(auxiliary)) {
    const pool = poolOf(address);
    if (pool === undefined) throw new ExitError(1, `no matching subnet for aux-address ${address}`);
    pool.AuxiliaryAddresses = { ...pool.AuxiliaryAddresses, [name]: address };
  }
  return pools;
}

/** Whether an address is of a network; what cannot be read is of none, and the daemon says why. */
function holds(subnet: string, address: string): boolean {
  const [base = '', length = ''] = subnet.split('/');
  const [a, b] = [bitsOf(base), bitsOf(address)];
  return a !== undefined && b !== undefined && a.length === b.length && a.startsWith(b.slice(0, Number(length)));
}

function bitsOf(address: string): string | undefined {
  if (!address.includes(':')) {
    const parts = address.split('.').map(Number);
    if (parts.length !== 4 || parts.some((part) => !(part >= 0 && part <= 255))) return undefined;
    return parts.map((part) => part.toString(2).padStart(8, '0')).join('');
  }
  const [head = '', tail] = address.split('::');
  const words = (text: string) => (text === '' ? [] : text.split(':').map((word) => parseInt(word, 16)));
  const [before, after] = [words(head), words(tail ?? '')];
  const zeros = Array.from({ length: tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length) }, () => 0);
  const all = [...before, ...zeros, ...after];
  if (all.length !== 8 || all.some((word) => !(word >= 0 && word <= 0xffff))) return undefined;
  return all.map((word) => word.toString(2).padStart(16, '0')).join('');
}
