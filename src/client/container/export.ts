/** `export`. */
import { exportContainer } from '#api/client/container-files.ts';
import { defineCommand } from '../command.ts';
import { text } from '../flags/flag-spec.ts';
import { writeArchive } from '../terminal/write-archive.ts';

export const exportCommand = defineCommand({
  operands: 'CONTAINER',
  count: [1, 1],
  flags: { output: text('Write to a file, instead of STDOUT', { shorthand: 'o' }) },
  async run(context, { values, positionals: [container = ''] }) {
    await writeArchive(
      context.io,
      values.output,
      () => exportContainer(context.client(), container),
      'failed to export container: ',
    );
  },
});
