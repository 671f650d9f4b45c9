/** `commit`. */
import { commitContainer } from '#api/client/container-files.ts';
import { defineCommand } from '../command.ts';
import { flag, list, text } from '../flags/flag-spec.ts';
import { splitReference, wellFormed } from '../image/split-reference.ts';

export const commit = defineCommand({
  operands: 'CONTAINER [REPOSITORY[:TAG]]',
  count: [1, 2],
  flags: {
    author: text('Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")', { shorthand: 'a' }),
    change: list('Apply Dockerfile instruction to the created image', { shorthand: 'c' }),
    message: text('Commit message', { shorthand: 'm' }),
    pause: flag('Pause container during commit', { shorthand: 'p', initial: true }),
    'no-pause': flag('Do not pause the container during commit'),
  },
  async run(context, { values, positionals: [container = '', name = ''] }) {
    if (name !== '') wellFormed(name);
    const { repository, tag } = splitReference(name);
    const id = await commitContainer(context.client(), container, {
      repo: repository,
      tag,
      author: values.author,
      comment: values.message,
      changes: values.change,
      pause: values.pause && !values['no-pause'],
    });
    context.io.out(`${id}\n`);
  },
});
