/** `search`. */
import { searchImages } from '#api/client/images.ts';
import { defineCommand } from '../command.ts';
import { filterFlag, formatFlag } from '../common-flags.ts';
import { parseFilters } from '../filters.ts';
import { flag, integer } from '../flags/flag-spec.ts';
import { printListing } from '../format/listing.ts';
import { authHeaders } from './credentials.ts';

const HEADINGS = {
  Name: 'NAME',
  Description: 'DESCRIPTION',
  StarCount: 'STARS',
  IsOfficial: 'OFFICIAL',
};
const DESCRIPTION_MAX = 45;

export const search = defineCommand({
  operands: 'TERM',
  count: [1, 1],
  flags: {
    filter: filterFlag(),
    format: formatFlag(),
    limit: integer('Max number of search results'),
    'no-trunc': flag("Don't truncate output"),
  },
  async run(context, { values, positionals: [term = ''] }) {
    const found = await searchImages(context.client(), {
      term,
      limit: values.limit ?? 0,
      filters: parseFilters(values.filter),
      headers: await authHeaders(context, term),
    });
    const cut = (text: string): string => {
      const line = text.replaceAll('\n', ' ').replaceAll('\r', ' ');
      return values['no-trunc'] || line.length <= DESCRIPTION_MAX ? line : `${line.slice(0, DESCRIPTION_MAX - 1)}…`;
    };
    const rows = found.map((row) => ({
      Name: row.name,
      Description: cut(row.description),
      StarCount: String(row.star_count),
      // Docker marks it for people and tells it to programs.
      IsOfficial:
        values.format === 'json' || values.format === '{{json .}}'
          ? String(row.is_official)
          : row.is_official
            ? '[OK]'
            : '',
    }));
    const listing = {
      rows,
      columns: ['Name', 'Description', 'StarCount', 'IsOfficial'],
      headings: HEADINGS,
      quietField: 'Name',
      type: '*registry.searchContext',
    };
    context.io.out(printListing(listing, { format: values.format, quiet: false }));
  },
});
