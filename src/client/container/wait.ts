/** `wait`. */
import { waitContainer } from '#api/client/containers.ts';
import { defineCommand } from '../command.ts';
import { forEachName } from '../each.ts';

export const wait = defineCommand({
  operands: 'CONTAINER [CONTAINER...]',
  count: [1, Infinity],
  flags: {},
  run: (context, { positionals }) =>
    forEachName(context, positionals, async (name) => {
      const { exit } = await waitContainer(context.client(), name, 'not-running');
      const { StatusCode, Error: failure } = await exit;
      if (failure?.Message !== undefined && failure.Message !== '') throw new Error(failure.Message);
      return String(StatusCode);
    }),
});
