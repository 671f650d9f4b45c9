/** `pull`. */
import { pullImage } from '#api/client/images.ts';
import { canonicalName, parseReference } from '#reference/reference.ts';
import { defineCommand, ExitError, UsageError } from '../command.ts';
import { contentTrustFlag } from '../common-flags.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { authHeaders } from '../registry/credentials.ts';
import { isHost, pullFromHost } from './between-hosts.ts';
import { progressColumns, showProgress } from './show-progress.ts';
import { splitReference, wellFormed } from './split-reference.ts';

export const pull = defineCommand({
  operands: 'NAME[:TAG|@DIGEST] | ssh://[USER@]HOST NAME...',
  count: [1, Infinity],
  flags: {
    'all-tags': flag('Download all tagged images in the repository', { shorthand: 'a' }),
    'disable-content-trust': contentTrustFlag(),
    platform: text('Set platform if server is multi-platform capable'),
    quiet: flag('Suppress verbose output', { shorthand: 'q' }),
  },
  async run(context, { values, positionals: [name = '', ...more] }) {
    if (isHost(name)) return pullFromHost(context, name, more, values);
    if (more.length > 0) throw new UsageError(`'berth ${context.path}' requires 1 argument`);
    wellFormed(name);
    const { repository, tag } = splitReference(name);
    if (values['all-tags'] && tag !== '') throw new ExitError(1, "tag can't be used with --all-tags/-a");
    const wanted = values['all-tags'] ? '' : tag === '' ? 'latest' : tag;
    if (tag === '' && wanted !== '' && !values.quiet) context.io.out(`Using default tag: ${wanted}\n`);
    const messages = pullImage(context.client(), repository, {
      tag: wanted,
      platform: values.platform,
      headers: await authHeaders(context, name),
    });
    const write = (part: string) => {
      if (!values.quiet) context.io.out(part);
    };
    await showProgress(messages, { write, columns: progressColumns(context) });
    // As docker: the whole name of what is on Docker Hub.
    context.io.out(`${fullName(repository)}${wanted === '' ? '' : `${wanted.includes(':') ? '@' : ':'}${wanted}`}\n`);
  },
});

function fullName(repository: string): string {
  try {
    return canonicalName(parseReference(repository));
  } catch {
    return repository;
  }
}
