/** `push`. */
import { pushImage } from '#api/client/images.ts';
import { defineCommand, ExitError, UsageError } from '../command.ts';
import { contentTrustFlag } from '../common-flags.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { authHeaders } from '../registry/credentials.ts';
import { isHost, pushToHost } from './between-hosts.ts';
import { progressColumns, showProgress } from './show-progress.ts';
import { splitReference } from './split-reference.ts';

export const push = defineCommand({
  operands: 'NAME[:TAG] | ssh://[USER@]HOST NAME...',
  count: [1, Infinity],
  flags: {
    'all-tags': flag('Push all tags of an image to the repository', { shorthand: 'a' }),
    'disable-content-trust': contentTrustFlag(),
    platform: text('Push a platform-specific manifest as a single-platform image to the registry or host'),
    quiet: flag('Suppress verbose output', { shorthand: 'q' }),
  },
  examples: ['berth image push ssh://root@build.example team/app:1'],
  async run(context, { values, positionals: [name = '', ...more] }) {
    if (isHost(name)) return pushToHost(context, name, more, values);
    if (more.length > 0) throw new UsageError(`'berth ${context.path}' requires 1 argument`);
    const { repository, tag } = splitReference(name);
    if (values['all-tags'] && tag !== '') throw new ExitError(1, "tag can't be used with --all-tags/-a");
    const wanted = values['all-tags'] ? '' : tag === '' ? 'latest' : tag;
    if (tag === '' && wanted !== '' && !values.quiet) context.io.out(`Using default tag: ${wanted}\n`);
    const headers = await authHeaders(context, name);
    const messages = pushImage(context.client(), repository, {
      tag: wanted,
      platform: wirePlatform(values.platform),
      headers,
    });
    const write = (part: string) => {
      if (!values.quiet) context.io.out(part);
    };
    await showProgress(messages, { write, columns: progressColumns(context) });
    if (values.quiet) context.io.out(`${repository}${wanted === '' ? '' : `:${wanted}`}\n`);
  },
});

/** Since API 1.46, as JSON. */
function wirePlatform(text: string): string {
  if (text === '') return '';
  const [os = '', architecture = '', variant = ''] = text.split('/');
  return JSON.stringify({ architecture, os, ...(variant === '' ? {} : { variant }) });
}
