/** `rm`. */
import { removeContainer } from '#api/client/containers.ts';
import { ApiError } from '#api/client/api-error.ts';
import { defineCommand } from '../command.ts';
import { forEachName } from '../each.ts';
import { flag } from '../flags/flag-spec.ts';

export const rm = defineCommand({
  operands: 'CONTAINER [CONTAINER...]',
  count: [1, Infinity],
  flags: {
    force: flag('Force the removal of a running container (uses SIGKILL)', { shorthand: 'f' }),
    link: flag('Remove the specified link', { shorthand: 'l' }),
    volumes: flag('Remove anonymous volumes associated with the container', { shorthand: 'v' }),
  },
  examples: ['berth rm -f $(berth ps -aq)'],
  run: async (context, { values, positionals }) => {
    let missing = 0;
    const code = await forEachName(context, positionals, async (container) => {
      const name = container.replace(/^\/+/, '');
      if (name === '') throw new Error('Container name cannot be empty');
      try {
        await removeContainer(context.client(), name, values);
      } catch (error) {
        // With --force a container that is not there is what was asked for; it is told, but is no failure.
        if (values.force && error instanceof ApiError && error.kind === 'not-found') missing++;
        throw error;
      }
      return container;
    });
    return code !== 0 && missing === positionals.length ? 0 : code;
  },
});
