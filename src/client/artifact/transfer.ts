/** `artifact pull` and `artifact push`, with the log-ins of `berth login`. */
import type { ApiClient } from '#api/client/api-client.ts';
import { inspectArtifact, pullArtifact, pushArtifact } from '#api/client/artifacts.ts';
import type { ProgressMessage } from '#api/types/image.ts';
import { type CommandContext, defineCommand } from '../command.ts';
import { flag } from '../flags/flag-spec.ts';
import { progressColumns, showProgress } from '../image/show-progress.ts';
import { authHeaders } from '../registry/credentials.ts';

type Transfer = (
  client: ApiClient,
  name: string,
  headers: Readonly<Record<string, string>>,
) => AsyncIterable<ProgressMessage>;

async function run(context: CommandContext, transfer: Transfer, name: string, quiet: boolean): Promise<void> {
  const client = context.client();
  const write = (part: string): void => {
    if (!quiet) context.io.out(part);
  };
  await showProgress(transfer(client, name, await authHeaders(context, name)), {
    write,
    columns: progressColumns(context),
  });
  if (quiet) context.io.out(`${(await inspectArtifact(client, name)).Digest}\n`);
}

export const pull = defineCommand({
  operands: 'ARTIFACT',
  count: [1, 1],
  flags: { quiet: flag('Suppress output but the digest', { shorthand: 'q' }) },
  run: (context, { values, positionals: [name = ''] }) => run(context, pullArtifact, name, values.quiet),
});

export const push = defineCommand({
  operands: 'ARTIFACT',
  count: [1, 1],
  flags: { quiet: flag('Suppress output but the digest', { shorthand: 'q' }) },
  run: (context, { values, positionals: [name = ''] }) => run(context, pushArtifact, name, values.quiet),
});
