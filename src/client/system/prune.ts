/** `container prune`, `image prune` and `system prune`: asked for once more, then told by name with the room they gave. */
import type { ApiClient } from '#api/client/api-client.ts';
import { prune } from '#api/client/disk-usage.ts';
import { humanSize } from '#pkg/units/size.ts';
import { type CommandContext, defineCommand, ExitError } from '../command.ts';
import { confirmed } from '../confirm.ts';
import { checkFilter, parseFilters } from '../filters.ts';
import { flag, list } from '../flags/flag-spec.ts';

const forceFlag = () => flag('Do not prompt for confirmation', { shorthand: 'f' });
const pruneFilterFlag = (help: string) => list(help, { typeName: 'filter', check: checkFilter });

type Filters = Map<string, string[]>;

/** What one kind of prune has to say: its lines, and the room. */
interface Pruned {
  readonly text: string;
  readonly bytes: number;
}

function told(heading: string, lines: readonly string[] | null, bytes: number): Pruned {
  if (lines === null || lines.length === 0) return { text: '', bytes };
  return { text: `${heading}\n${lines.map((line) => `${line}\n`).join('')}\n`, bytes };
}

async function pruneContainers(client: ApiClient, filters: Filters): Promise<Pruned> {
  const { ContainersDeleted, SpaceReclaimed } = await prune(client, 'containers', filters);
  return told('Deleted Containers:', ContainersDeleted, SpaceReclaimed);
}

async function pruneImages(client: ApiClient, filters: Filters, all: boolean): Promise<Pruned> {
  const asked = new Map([...filters, ['dangling', [String(!all)]] as const]);
  const { ImagesDeleted, SpaceReclaimed } = await prune(client, 'images', asked);
  const lines = ImagesDeleted?.map(({ Untagged, Deleted }) =>
    Untagged === undefined ? `deleted: ${Deleted ?? ''}` : `untagged: ${Untagged}`,
  );
  return told('Deleted Images:', lines ?? null, SpaceReclaimed);
}

async function pruneNetworks(client: ApiClient, filters: Filters): Promise<Pruned> {
  const { NetworksDeleted } = await prune(client, 'networks', filters);
  return told('Deleted Networks:', NetworksDeleted, 0);
}

async function pruneVolumes(client: ApiClient, filters: Filters): Promise<Pruned> {
  const { VolumesDeleted, SpaceReclaimed } = await prune(client, 'volumes', filters);
  return told('Deleted Volumes:', VolumesDeleted, SpaceReclaimed);
}

async function pruneBuildCache(client: ApiClient, filters: Filters): Promise<Pruned> {
  const { CachesDeleted, SpaceReclaimed } = await prune(client, 'build', filters);
  return told('Deleted build cache objects:', CachesDeleted, SpaceReclaimed);
}

async function tell({ io }: CommandContext, work: readonly (() => Promise<Pruned>)[]): Promise<void> {
  let bytes = 0;
  for (const one of work) {
    const pruned = await one();
    bytes += pruned.bytes;
    io.out(pruned.text);
  }
  io.out(`Total reclaimed space: ${humanSize(bytes)}\n`);
}

export const containerPrune = defineCommand({
  operands: '',
  count: [0, 0],
  flags: { filter: pruneFilterFlag('Provide filter values (e.g. "until=<timestamp>")'), force: forceFlag() },
  async run(context, { values }) {
    if (!values.force && !confirmed(context.io, 'WARNING! This will remove all stopped containers.')) return;
    const filters = parseFilters(values.filter);
    await tell(context, [() => pruneContainers(context.client(), filters)]);
  },
});

const ALL_IMAGES = 'all images without at least one container associated to them';

export const imagePrune = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    all: flag('Remove all unused images, not just dangling ones', { shorthand: 'a' }),
    budget: flag('Remove what the budget of the configuration does not allow'),
    filter: pruneFilterFlag('Provide filter values (e.g. "until=<timestamp>")'),
    force: forceFlag(),
    plan: flag('Only show what would be removed'),
  },
  examples: ['berth image prune --all --plan', 'berth image prune --budget --plan'],
  async run(context, { values }) {
    if (values.plan || values.budget) {
      const { planOrBudget } = await import('../image/plan.ts');
      return planOrBudget(context, values);
    }
    const what = values.all ? ALL_IMAGES : 'all dangling images';
    if (!values.force && !confirmed(context.io, `WARNING! This will remove ${what}.`)) return;
    const filters = parseFilters(values.filter);
    await tell(context, [() => pruneImages(context.client(), filters, values.all)]);
  },
});

export const systemPrune = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    all: flag('Remove all unused images not just dangling ones', { shorthand: 'a' }),
    filter: pruneFilterFlag('Provide filter values (e.g. "label=<key>=<value>")'),
    force: forceFlag(),
    volumes: flag('Prune anonymous volumes'),
  },
  async run(context, { values }) {
    const filters = parseFilters(values.filter);
    if (values.volumes && filters.has('until')) {
      throw new ExitError(1, 'ERROR: The "until" filter is not supported with "--volumes"');
    }
    if (!values.force && !confirmed(context.io, systemWarning(values, filters))) return;
    const client = context.client();
    await tell(context, [
      () => pruneContainers(client, filters),
      () => pruneNetworks(client, filters),
      ...(values.volumes ? [() => pruneVolumes(client, filters)] : []),
      () => pruneImages(client, filters, values.all),
      () => pruneBuildCache(client, filters),
    ]);
  },
});

function systemWarning({ all, volumes }: { all: boolean; volumes: boolean }, filters: Filters): string {
  const what = [
    'all stopped containers',
    'all networks not used by at least one container',
    ...(volumes ? ['all anonymous volumes not used by at least one container'] : []),
    all ? ALL_IMAGES : 'all dangling images',
    all ? 'all build cache' : 'unused build cache',
  ];
  const kept = [...filters].flatMap(([key, values]) => values.map((value) => `  - ${key}=${value}\n`));
  const lines = what.map((line) => `  - ${line}\n`).join('');
  const filtered = kept.length === 0 ? '' : `\n  Items to be pruned will be filtered with:\n${kept.join('')}`;
  return `WARNING! This will remove:\n${lines}${filtered}`;
}
