/** `ports audit`: who can reach published ports, and why. */
import { auditPorts } from '#api/client/networks.ts';
import { defineCommand } from '../command.ts';
import { formatFlag } from '../common-flags.ts';
import { printListing } from '../format/listing.ts';

const HEADINGS = {
  Container: 'CONTAINER',
  Port: 'PORT',
  Published: 'PUBLISHED',
  Policy: 'POLICY',
  Outside: 'OUTSIDE',
  Addresses: 'ADDRESSES',
  Network: 'NETWORK',
  Reason: 'WHY',
};
const COLUMNS = ['Container', 'Port', 'Published', 'Policy', 'Outside', 'Reason'] as const;

export const audit = defineCommand({
  operands: '',
  count: [0, 0],
  flags: { format: formatFlag() },
  examples: ['berth ports audit', "berth ports audit --format '{{.Container}} {{.Outside}} {{.Addresses}}'"],
  async run(context, { values }) {
    const { Ports, HostNetwork } = await auditPorts(context.client());
    const bracketed = (ip: string): string => (ip.includes(':') ? `[${ip}]` : ip);
    const rows = [
      ...Ports.map((port) => ({
        Container: port.Container,
        Network: port.Network,
        Port: `${port.ContainerPort}/${port.Protocol}`,
        Published: `${bracketed(port.HostIp)}:${port.HostPort}${port.Policy === 'host' ? ' (host network)' : ''}`,
        Policy: port.Policy,
        Outside: port.Outside,
        Addresses: port.Addresses.join(', '),
        Reason: port.Reason,
      })),
      ...HostNetwork.filter(({ ContainerID }) => !Ports.some((port) => port.ContainerID === ContainerID)).map(
        ({ Container }) => ({
          Container,
          Network: 'host',
          Port: 'none',
          Published: 'host network',
          Policy: 'host',
          Outside: 'no',
          Addresses: '',
          Reason: 'it listens on nothing',
        }),
      ),
    ];
    context.io.out(
      printListing(
        { rows, columns: [...COLUMNS], headings: HEADINGS, quietField: 'Container' },
        { format: values.format, quiet: false },
      ),
    );
  },
});
