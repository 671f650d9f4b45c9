/** `save`. */
import { saveImages } from '#api/client/images.ts';
import { defineCommand, ExitError } from '../command.ts';
import { text } from '../flags/flag-spec.ts';
import { OutputPort } from '../terminal/output-port.ts';
import { writeWhole } from '../terminal/write-whole.ts';
import { platformFlag, platformJson } from './platform-flag.ts';

export const save = defineCommand({
  operands: 'IMAGE [IMAGE...]',
  count: [1, Infinity],
  flags: {
    output: text('Write to a file, instead of STDOUT', { shorthand: 'o' }),
    platform: platformFlag('Save only the given platform variant'),
  },
  async run(context, { values, positionals }) {
    if (values.output === '' && context.io.stdoutIsTerminal) {
      throw new ExitError(1, 'cowardly refusing to save to a terminal. Use the -o flag or redirect');
    }
    const body = await saveImages(context.client(), positionals, platformJson(values.platform));
    if (body === null) throw new ExitError(1, 'the daemon sent no archive');
    if (values.output === '') {
      const stdout = new OutputPort(1);
      for await (const chunk of body) await stdout.write(chunk);
      await stdout.drained();
      return;
    }
    await writeWhole(values.output, body, 'failed to save image: ');
  },
});
