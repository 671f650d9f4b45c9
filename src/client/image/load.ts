/** `load`. */
import { loadImages } from '#api/client/images.ts';
import { defineCommand, ExitError } from '../command.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { archiveOf, archiveOnStdin } from './archive-input.ts';
import { platformFlag, platformJson } from './platform-flag.ts';
import { progressColumns, showProgress } from './show-progress.ts';

export const load = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    input: text('Read from tar archive file, instead of STDIN', { shorthand: 'i' }),
    platform: platformFlag('Load only the given platform variant'),
    quiet: flag('Suppress the load output', { shorthand: 'q' }),
  },
  async run(context, { values }) {
    if (values.input === '' && context.io.stdinIsTerminal) {
      throw new ExitError(1, 'requested load from stdin, but stdin is empty');
    }
    const columns = progressColumns(context);
    const archive = values.input === '' ? archiveOnStdin() : archiveOf(values.input);
    const messages = loadImages(context.client(), archive, values.quiet || columns === undefined, {
      platform: platformJson(values.platform),
    });
    await showProgress(messages, { write: (part) => context.io.out(part), columns });
  },
});
