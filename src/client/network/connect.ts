/** `network connect`, `disconnect`, `rm` and `prune`. */
import { connectNetwork, disconnectNetwork, pruneNetworks, removeNetwork } from '#api/client/networks.ts';
import { ApiError } from '#api/client/api-error.ts';
import { defineCommand } from '../command.ts';
import { confirmed } from '../confirm.ts';
import { endpointOf } from '../container/endpoints.ts';
import { toRecord } from '../container/variables.ts';
import { forEachName } from '../each.ts';
import { checkFilter, parseFilters } from '../filters.ts';
import { flag, integer, list, text } from '../flags/flag-spec.ts';

export const connect = defineCommand({
  operands: 'NETWORK CONTAINER',
  count: [2, 2],
  flags: {
    alias: list('Add network-scoped alias for the container', { typeName: 'strings' }),
    'driver-opt': list('driver options for the network', { typeName: 'strings' }),
    'gw-priority': integer('Highest gw-priority provides the default gateway. Accepts positive and negative values'),
    ip: text('IPv4 address (e.g., "172.30.100.104")'),
    ip6: text('IPv6 address (e.g., "2001:db8::33")'),
    link: list('Add link to another container'),
    'link-local-ip': list('Add a link-local address for the container', { typeName: 'strings' }),
  },
  run(context, { values, positionals: [network = '', container = ''] }) {
    const settings = endpointOf({
      aliases: values.alias,
      driverOptions: toRecord(values['driver-opt']),
      gatewayPriority: values['gw-priority'],
      ipv4: values.ip,
      ipv6: values.ip6,
      linkLocal: values['link-local-ip'],
    });
    const links = values.link.length === 0 ? null : [...values.link];
    return connectNetwork(context.client(), network, container, { ...settings, Links: links });
  },
});

export const disconnect = defineCommand({
  operands: 'NETWORK CONTAINER',
  count: [2, 2],
  flags: { force: flag('Force the container to disconnect from a network', { shorthand: 'f' }) },
  run: (context, { values, positionals: [network = '', container = ''] }) =>
    disconnectNetwork(context.client(), network, container, values.force),
});

export const rm = defineCommand({
  operands: 'NETWORK [NETWORK...]',
  count: [1, Infinity],
  flags: { force: flag('Do not error if the network does not exist', { shorthand: 'f' }) },
  run: (context, { values, positionals }) =>
    forEachName(context, positionals, async (name) => {
      try {
        await removeNetwork(context.client(), name);
        return name;
      } catch (error) {
        if (!values.force || !(error instanceof ApiError) || error.kind !== 'not-found') throw error;
        return '';
      }
    }),
});

export const prune = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    filter: list('Provide filter values (e.g. "until=<timestamp>")', { typeName: 'filter', check: checkFilter }),
    force: flag('Do not prompt for confirmation', { shorthand: 'f' }),
  },
  async run(context, { values }) {
    const { io } = context;
    const warning = 'WARNING! This will remove all custom networks not used by at least one container.';
    if (!values.force && !confirmed(io, warning)) return 0;
    const { NetworksDeleted: deleted } = await pruneNetworks(context.client(), parseFilters(values.filter));
    if (deleted !== null && deleted.length > 0) io.out(`Deleted Networks:\n${deleted.join('\n')}\n\n`);
    return 0;
  },
});
