/** `export`. */
import { exportContainer } from '#api/client/container-files.ts';
import { defineCommand, ExitError } from '../command.ts';
import { text } from '../flags/flag-spec.ts';
import { writeWhole } from '../terminal/write-whole.ts';
import { OutputPort } from '../terminal/output-port.ts';

export const exportCommand = defineCommand({
  operands: 'CONTAINER',
  count: [1, 1],
  flags: { output: text('Write to a file, instead of STDOUT', { shorthand: 'o' }) },
  async run(context, { values, positionals: [container = ''] }) {
    if (values.output === '' && context.io.stdoutIsTerminal) {
      throw new ExitError(1, 'cowardly refusing to save to a terminal. Use the -o flag or redirect');
    }
    const body = await exportContainer(context.client(), container);
    if (values.output !== '') {
      await writeWhole(values.output, body);
      return;
    }
    const stdout = new OutputPort(1);
    for await (const chunk of body) await stdout.write(chunk);
    await stdout.drained();
  },
});
