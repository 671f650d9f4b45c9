/** `image prune --plan` and `--budget`: what would go, why, and what it gives; then what went. */
import { enforceBudget, planBudget, planImages } from '#api/client/image-upkeep.ts';
import type { ImagePlan } from '#api/types/image-upkeep.ts';
import { humanSize } from '#pkg/units/size.ts';
import { type CommandContext, UsageError } from '../command.ts';
import { parseFilters } from '../filters.ts';
import { ago, shortId } from '../format/human.ts';
import { formatTable } from '../format/table.ts';

const MS_PER_SECOND = 1000;

interface Flags {
  readonly all: boolean;
  readonly budget: boolean;
  readonly plan: boolean;
  readonly filter: readonly string[];
}

export async function planOrBudget(context: CommandContext, flags: Flags): Promise<void> {
  const client = context.client();
  if (flags.budget && (flags.all || flags.filter.length > 0)) {
    throw new UsageError('--budget takes what the configuration says: it conflicts with --all and --filter');
  }
  if (flags.budget && !flags.plan) {
    tell(context, await enforceBudget(client), 'Removed');
    return;
  }
  const filters = parseFilters(flags.filter);
  if (!flags.budget) filters.set('dangling', [String(!flags.all)]);
  tell(context, flags.budget ? await planBudget(client) : await planImages(client, filters), 'Would be removed');
}

function tell({ io }: CommandContext, plan: ImagePlan, heading: string): void {
  const now = Date.now();
  const rows = plan.Images.map((image) => [
    shortId(image.Id),
    image.Names.length === 0 ? '<none>' : image.Names.join(', '),
    ago(Date.parse(image.LastUsed) / MS_PER_SECOND, now),
    image.Reason,
    humanSize(image.Reclaims),
  ]);
  if (rows.length > 0) io.out(formatTable([['IMAGE ID', 'NAMES', 'LAST USED', 'REASON', 'RECLAIMS'], ...rows]));
  for (const limit of plan.Unmet)
    io.err(`WARNING: the limit of ${limit} cannot be met: the rest is in use or locked\n`);
  const count = `${rows.length} ${rows.length === 1 ? 'image' : 'images'}`;
  io.out(`${heading}: ${count}, ${humanSize(plan.Reclaims)} of ${humanSize(plan.TotalSize)}\n`);
}
