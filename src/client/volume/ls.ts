/** `volume ls`. */
import { listVolumes } from '#api/client/volumes.ts';
import { defineCommand } from '../command.ts';
import { filterFlag, formatFlag, quietFlag, formatOr } from '../common-flags.ts';
import { parseFilters } from '../filters.ts';
import { flag } from '../flags/flag-spec.ts';
import { labelOf, printListing } from '../format/listing.ts';

const HEADINGS = {
  Availability: 'AVAILABILITY',
  Driver: 'DRIVER',
  Group: 'GROUP',
  Labels: 'LABELS',
  Links: 'LINKS',
  Mountpoint: 'MOUNTPOINT',
  Name: 'VOLUME NAME',
  Scope: 'SCOPE',
  Size: 'SIZE',
  Status: 'STATUS',
};
const NONE = 'N/A';

export const ls = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    cluster: flag('Display only cluster volumes, and use cluster volume list formatting'),
    filter: filterFlag(),
    format: formatFlag(),
    quiet: quietFlag('Only display volume names'),
  },
  async run(context, { values }) {
    const { Volumes: volumes, Warnings: warnings } = await listVolumes(context.client(), parseFilters(values.filter));
    const sorted = [...(volumes ?? [])].sort((a, b) => (a.Name < b.Name ? -1 : 1));
    // There is no Swarm, so there is none: only the heading of another table.
    const rows = (values.cluster ? [] : sorted).map((volume) => ({
      Availability: NONE,
      Driver: volume.Driver,
      Group: NONE,
      Label: labelOf(volume.Labels),
      Labels: Object.entries(volume.Labels ?? {})
        .map(([key, value]) => `${key}=${value}`)
        .join(','),
      Links: NONE,
      Mountpoint: volume.Mountpoint,
      Name: volume.Name,
      Scope: volume.Scope,
      Size: NONE,
      Status: NONE,
    }));
    for (const warning of warnings ?? []) context.io.err(`WARNING: ${warning}\n`);
    context.io.out(
      printListing(
        {
          type: '*formatter.volumeContext',
          rows,
          columns: values.cluster ? ['Name', 'Group', 'Driver', 'Availability', 'Status'] : ['Driver', 'Name'],
          headings: HEADINGS,
          quietField: 'Name',
        },
        formatOr(context, values, 'volumesFormat'),
      ),
    );
  },
});
