/** `top CONTAINER`: its processes; `top` alone: all containers, live. */
import { topContainer } from '#api/client/containers.ts';
import { defineCommand } from '../command.ts';
import { formatTable } from '../format/table.ts';

const MIN_WIDTH = 20;

export const top = defineCommand({
  operands: '[CONTAINER [ps OPTIONS]]',
  count: [0, Infinity],
  flags: {},
  interspersed: false,
  examples: ['berth top', 'berth top web', 'berth top web -o pid,args'],
  async run(context, { positionals: [container = '', ...psOptions] }) {
    if (container === '') return (await import('../overview/overview.ts')).runOverview(context);
    const { Titles, Processes } = await topContainer(context.client(), container, psOptions.join(' '));
    context.io.out(formatTable([Titles, ...(Processes ?? [])], { minWidth: MIN_WIDTH }));
    return 0;
  },
});
