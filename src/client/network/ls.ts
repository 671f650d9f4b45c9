/** `network ls`. */
import { listNetworks } from '#api/client/networks.ts';
import { defineCommand } from '../command.ts';
import { filterFlag, formatFlag, quietFlag, formatOr } from '../common-flags.ts';
import { parseFilters } from '../filters.ts';
import { flag } from '../flags/flag-spec.ts';
import { labelOf, printListing } from '../format/listing.ts';

const HEADINGS = {
  CreatedAt: 'CREATED AT',
  Driver: 'DRIVER',
  ID: 'NETWORK ID',
  IPv4: 'IPV4',
  IPv6: 'IPV6',
  Internal: 'INTERNAL',
  Labels: 'LABELS',
  Name: 'NAME',
  Scope: 'SCOPE',
};
const SHORT_ID = 12;

export const ls = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    filter: filterFlag(),
    format: formatFlag(),
    'no-trunc': flag('Do not truncate the output'),
    quiet: quietFlag('Only display network IDs'),
  },
  async run(context, { values }) {
    const networks = await listNetworks(context.client(), parseFilters(values.filter));
    const rows = [...networks]
      .sort((a, b) => (a.Name < b.Name ? -1 : 1))
      .map((network) => ({
        CreatedAt: network.Created,
        Driver: network.Driver,
        ID: values['no-trunc'] ? network.Id : network.Id.slice(0, SHORT_ID),
        IPv4: String(network.EnableIPv4),
        IPv6: String(network.EnableIPv6),
        Internal: String(network.Internal),
        Label: labelOf(network.Labels),
        Labels: Object.entries(network.Labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(','),
        Name: network.Name,
        Scope: network.Scope,
      }));
    const columns = ['ID', 'Name', 'Driver', 'Scope'] as const;
    context.io.out(
      printListing(
        { type: '*network.networkContext', rows, columns: [...columns], headings: HEADINGS, quietField: 'ID' },
        formatOr(context, values, 'networksFormat'),
      ),
    );
  },
});
