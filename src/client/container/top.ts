/** `top`. */
import { topContainer } from '#api/client/containers.ts';
import { defineCommand } from '../command.ts';
import { formatTable } from '../format/table.ts';

const MIN_WIDTH = 20;

export const top = defineCommand({
  operands: 'CONTAINER [ps OPTIONS]',
  count: [1, Infinity],
  flags: {},
  interspersed: false,
  async run(context, { positionals: [container = '', ...psOptions] }) {
    const { Titles, Processes } = await topContainer(context.client(), container, psOptions.join(' '));
    context.io.out(formatTable([Titles, ...(Processes ?? [])], MIN_WIDTH));
  },
});
