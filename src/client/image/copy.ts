/** `image copy`: from one registry to another, without this host's store. */
import { copyImage } from '#api/client/images.ts';
import { defineCommand } from '../command.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { authHeader, serverOf } from '../registry/credentials.ts';
import { progressColumns, showProgress } from './show-progress.ts';

export const copy = defineCommand({
  operands: 'SOURCE DESTINATION',
  count: [2, 2],
  flags: {
    platform: text('Copy this platform only (default: all that the name stands for)'),
    quiet: flag('Suppress verbose output', { shorthand: 'q' }),
  },
  examples: ['berth image copy registry.example/team/app:1 backup.example/team/app:1'],
  async run(context, { values, positionals: [from = '', to = ''] }) {
    const own = await authHeader(context, serverOf(from));
    const theirs = await authHeader(context, serverOf(to));
    const headers = {
      ...(own === '' ? {} : { 'X-Registry-Auth': own }),
      ...(theirs === '' ? {} : { 'X-Registry-Auth-To': theirs }),
    };
    const messages = copyImage(context.client(), { from, to, platform: values.platform, headers });
    const write = (part: string) => {
      if (!values.quiet) context.io.out(part);
    };
    await showProgress(messages, { write, columns: progressColumns(context) });
    if (values.quiet) context.io.out(`${to}\n`);
  },
});
