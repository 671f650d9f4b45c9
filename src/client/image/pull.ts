/** `pull`. */
import { pullImage } from '#api/client/images.ts';
import { defineCommand, UsageError } from '../command.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { isHost, pullFromHost } from './between-hosts.ts';
import { showProgress } from './show-progress.ts';
import { splitReference } from './split-reference.ts';

export const pull = defineCommand({
  operands: 'NAME[:TAG|@DIGEST] | ssh://[USER@]HOST NAME...',
  count: [1, Infinity],
  flags: {
    platform: text('Set platform if server is multi-platform capable'),
    quiet: flag('Suppress verbose output', { shorthand: 'q' }),
  },
  async run(context, { values, positionals: [name = '', ...more] }) {
    if (isHost(name)) return pullFromHost(context, name, more, values);
    if (more.length > 0) throw new UsageError(`'berth ${context.path}' requires 1 argument`);
    const { repository, tag } = splitReference(name);
    const wanted = tag === '' ? 'latest' : tag;
    if (tag === '' && !values.quiet) context.io.out(`Using default tag: ${wanted}\n`);
    const messages = pullImage(context.client(), repository, wanted, values.platform);
    const write = (part: string) => {
      if (!values.quiet) context.io.out(part);
    };
    await showProgress(messages, { write, terminal: context.io.stdoutIsTerminal });
    context.io.out(`${repository}:${wanted}\n`);
  },
});
