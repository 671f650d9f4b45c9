/** `volume rm`, `volume prune` and `volume update`. */
import { ApiError } from '#api/client/api-error.ts';
import { pruneVolumes, removeVolume } from '#api/client/volumes.ts';
import { humanSize } from '#pkg/units/size.ts';
import { defineCommand } from '../command.ts';
import { checkFilter, parseFilters } from '../filters.ts';
import { confirmed } from '../confirm.ts';
import { forEachName } from '../each.ts';
import { flag, list, text } from '../flags/flag-spec.ts';

export const rm = defineCommand({
  operands: 'VOLUME [VOLUME...]',
  count: [1, Infinity],
  flags: { force: flag('Force the removal of one or more volumes', { shorthand: 'f' }) },
  run: (context, { values, positionals }) =>
    forEachName(context, positionals, (name) => removeVolume(context.client(), name, values.force)),
});

export const prune = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    all: flag('Remove all unused volumes, not just anonymous ones', { shorthand: 'a' }),
    filter: list('Provide filter values (e.g. "label=<label>")', { typeName: 'filter', check: checkFilter }),
    force: flag('Do not prompt for confirmation', { shorthand: 'f' }),
  },
  async run(context, { values }) {
    const { io } = context;
    const kind = values.all ? 'all' : 'anonymous';
    const warning = `WARNING! This will remove ${kind} local volumes not used by at least one container.`;
    if (!values.force && !confirmed(io, warning)) return 0;
    const filters = parseFilters(values.filter);
    if (values.all) filters.set('all', ['true']);
    const { VolumesDeleted: deleted, SpaceReclaimed: bytes } = await pruneVolumes(context.client(), filters);
    if (deleted !== null && deleted.length > 0) io.out(`Deleted Volumes:\n${deleted.join('\n')}\n\n`);
    io.out(`Total reclaimed space: ${humanSize(bytes)}\n`);
    return 0;
  },
});

/** Cluster volumes only: there is none, and the daemon says why. */
export const update = defineCommand({
  operands: 'VOLUME',
  count: [0, 1],
  flags: {
    availability: text('Cluster Volume availability ("active", "pause", "drain")', { initial: 'active' }),
  },
  async run(context, { positionals: [name = ''] }) {
    try {
      await context.client().call('PUT', `/volumes/${encodeURIComponent(name)}`, { json: {} });
    } catch (error) {
      if (error instanceof ApiError) throw error;
      throw new Error(`Cannot update volume "${name}"`, { cause: error });
    }
  },
});
