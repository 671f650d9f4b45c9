/** `diff`. */
import { containerChanges } from '#api/client/container-files.ts';
import { defineCommand, ExitError } from '../command.ts';

const LETTERS = ['C', 'A', 'D'] as const;

export const diff = defineCommand({
  operands: 'CONTAINER',
  count: [1, 1],
  flags: {},
  async run(context, { positionals: [container = ''] }) {
    if (container === '') throw new ExitError(1, 'Container name cannot be empty');
    const changes = await containerChanges(context.client(), container);
    context.io.out(changes.map(({ Kind, Path }) => `${LETTERS[Kind]} ${Path}\n`).join(''));
  },
});
