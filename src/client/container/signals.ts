/** The short verbs: kill, pause, unpause, rename. */
import { killContainer, pauseContainer, renameContainer, unpauseContainer } from '#api/client/containers.ts';
import { type CommandContext, defineCommand, ExitError } from '../command.ts';
import { forEachName } from '../each.ts';
import { describeFailure } from '../failure.ts';
import { text } from '../flags/flag-spec.ts';

const MANY = 'CONTAINER [CONTAINER...]';

export const kill = defineCommand({
  operands: MANY,
  count: [1, Infinity],
  flags: { signal: text('Signal to send to the container', { shorthand: 's' }) },
  run: (context, { values, positionals }) =>
    forEachName(context, positionals, (name) => killContainer(context.client(), name, values.signal)),
});

export const pause = defineCommand({
  operands: MANY,
  count: [1, Infinity],
  flags: {},
  run: (context, { positionals }) =>
    forEachName(context, positionals, (name) => pauseContainer(context.client(), name)),
});

export const unpause = defineCommand({
  operands: MANY,
  count: [1, Infinity],
  flags: {},
  run: (context, { positionals }) =>
    forEachName(context, positionals, (name) => unpauseContainer(context.client(), name)),
});

export const rename = defineCommand({
  operands: 'CONTAINER NEW_NAME',
  count: [2, 2],
  flags: {},
  async run(context: CommandContext, { positionals: [container = '', name = ''] }) {
    if (container.trim() === '' || name.trim() === '') {
      throw new ExitError(1, 'Error: Neither old nor new names may be empty');
    }
    try {
      await renameContainer(context.client(), container.trim(), name.trim());
    } catch (error) {
      throw new ExitError(1, `${describeFailure(error)}\nError: failed to rename container named ${container.trim()}`);
    }
  },
});
