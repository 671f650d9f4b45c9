/** `push`. */
import { defineCommand, ExitError } from '../command.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { isHost, pushToHost } from './between-hosts.ts';

export const push = defineCommand({
  operands: 'NAME[:TAG] | ssh://[USER@]HOST NAME...',
  count: [1, Infinity],
  flags: {
    platform: text('Push a platform-specific manifest as a single-platform image to the registry or host'),
    quiet: flag('Suppress verbose output', { shorthand: 'q' }),
  },
  examples: ['berth image push ssh://root@build.example team/app:1'],
  async run(context, { values, positionals: [name = '', ...more] }) {
    if (isHost(name)) return pushToHost(context, name, more, values);
    throw new ExitError(1, `Cannot push "${name}": pushing to a registry is not there yet`);
  },
});
