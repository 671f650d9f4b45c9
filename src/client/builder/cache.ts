/** `builder prune` and `builder du`. */
import { buildCache, pruneBuildCache } from '#api/client/build.ts';
import type { BuildCache } from '#api/types/build.ts';
import { humanSize } from '#pkg/units/size.ts';
import { defineCommand } from '../command.ts';
import { checkFilter, parseFilters } from '../filters.ts';
import { bytes, flag, list } from '../flags/flag-spec.ts';
import { confirmed } from '../confirm.ts';

export const prune = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    all: flag('Remove all unused build cache, not just dangling ones', { shorthand: 'a' }),
    filter: list('Provide filter values (e.g., "until=24h")', { typeName: 'filter', check: checkFilter }),
    force: flag('Do not prompt for confirmation', { shorthand: 'f' }),
    'keep-storage': bytes('Amount of disk space to keep for cache', { hidden: true }),
    'reserved-space': bytes('Amount of disk space always allowed to keep for cache'),
    'max-used-space': bytes('Maximum amount of disk space allowed to keep for cache'),
    'min-free-space': bytes('Target amount of free disk space after pruning'),
  },
  async run(context, { values }) {
    const warning = values.all
      ? 'WARNING! This will remove all build cache.'
      : 'WARNING! This will remove all dangling build cache.';
    if (!values.force && !confirmed(context.io, warning)) return;
    const { CachesDeleted, SpaceReclaimed } = await pruneBuildCache(
      context.client(),
      {
        all: values.all,
        'reserved-space': values['reserved-space'] === 0 ? values['keep-storage'] : values['reserved-space'],
        'max-used-space': values['max-used-space'],
        'min-free-space': values['min-free-space'],
      },
      parseFilters(values.filter),
    );
    if (CachesDeleted !== null && CachesDeleted.length > 0) {
      context.io.out(`Deleted build cache objects:\n${CachesDeleted.join('\n')}\n\n`);
    }
    context.io.out(`Total reclaimed space: ${humanSize(SpaceReclaimed)}\n`);
  },
});

export const du = defineCommand({
  operands: '',
  count: [0, 0],
  flags: { verbose: flag('Provide a more verbose output') },
  async run(context, { values }) {
    const entries = [...(await buildCache(context.client()))].sort((a, b) => b.Size - a.Size);
    if (values.verbose) for (const entry of entries) context.io.out(`${verbose(entry)}\n`);
    else {
      context.io.out(`${'ID'.padEnd(28)}${'RECLAIMABLE'.padEnd(14)}${'SIZE'.padEnd(12)}LAST ACCESSED\n`);
      for (const entry of entries) {
        const { ID, Size, InUse, Shared, LastUsedAt } = entry;
        const size = `${humanSize(Size)}${Shared ? '*' : ''}`;
        context.io.out(
          `${ID.slice(0, 25).padEnd(28)}${String(!InUse).padEnd(14)}${size.padEnd(12)}${LastUsedAt ?? ''}\n`,
        );
      }
    }
    const sum = (wanted: (entry: BuildCache) => boolean): string =>
      humanSize(entries.filter(wanted).reduce((total, { Size }) => total + Size, 0));
    context.io.out(`Shared:\t\t${sum(({ Shared }) => Shared)}\nPrivate:\t${sum(({ Shared }) => !Shared)}\n`);
    context.io.out(`Reclaimable:\t${sum(({ InUse, Shared }) => !InUse && !Shared)}\nTotal:\t\t${sum(() => true)}\n`);
  },
});

function verbose(entry: BuildCache): string {
  const rows: [string, string][] = [
    ['ID', entry.ID],
    ...(entry.Parents ?? []).map((parent): [string, string] => ['Parent', parent]),
    ['Created at', entry.CreatedAt],
    ['Mutable', 'false'],
    ['Reclaimable', String(!entry.InUse)],
    ['Shared', String(entry.Shared)],
    ['Size', humanSize(entry.Size)],
    ['Description', entry.Description],
    ['Usage count', String(entry.UsageCount)],
    ['Last used', entry.LastUsedAt ?? ''],
    ['Type', entry.Type],
  ];
  return rows.map(([name, value]) => `${`${name}:`.padEnd(15)}${value}\n`).join('');
}
