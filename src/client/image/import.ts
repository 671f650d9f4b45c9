/** `import`. */
import { importImage } from '#api/client/images.ts';
import { defineCommand } from '../command.ts';
import { list, text } from '../flags/flag-spec.ts';
import { archiveOf, archiveOnStdin } from './archive-input.ts';
import { progressColumns, showProgress } from './show-progress.ts';
import { splitReference, wellFormed } from './split-reference.ts';

export const importCommand = defineCommand({
  operands: 'file|URL|- [REPOSITORY[:TAG]]',
  count: [1, 2],
  flags: {
    change: list('Apply Dockerfile instruction to the created image', { shorthand: 'c' }),
    message: text('Set commit message for imported image', { shorthand: 'm' }),
    platform: text('Set platform if server is multi-platform capable'),
  },
  examples: [`tar -C rootfs -c . | berth import --change 'CMD ["sh"]' - base`],
  async run(context, { values, positionals: [source = '', name = ''] }) {
    if (name !== '') wellFormed(name);
    const isUrl = /^(https?|git):\/\//.test(source);
    const archive = isUrl ? undefined : source === '-' ? archiveOnStdin() : archiveOf(source);
    const { repository, tag } = splitReference(name);
    const messages = importImage(context.client(), archive, {
      repo: repository,
      tag,
      message: values.message,
      changes: values.change,
      platform: values.platform,
      source: isUrl ? source : '-',
    });
    await showProgress(messages, {
      write: (part) => context.io.out(part),
      columns: progressColumns(context),
    });
  },
});
