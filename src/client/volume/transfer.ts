/** Beyond docker: `volume export`, `import`, `rename` and `clone`. */
import { cloneVolume, exportVolume, importVolume, renameVolume } from '#api/client/volumes.ts';
import { defineCommand, ExitError } from '../command.ts';
import { text } from '../flags/flag-spec.ts';
import { archiveOf, archiveOnStdin } from '../image/archive-input.ts';
import { writeArchive } from '../terminal/write-archive.ts';

export const exportCommand = defineCommand({
  operands: 'VOLUME',
  count: [1, 1],
  flags: { output: text('Write to a file, instead of STDOUT', { shorthand: 'o' }) },
  examples: ['berth volume export data | zstd > data.tar.zst', 'berth volume export -o data.tar data'],
  async run(context, { values, positionals: [name = ''] }) {
    await writeArchive(context.io, values.output, () => exportVolume(context.client(), name));
  },
});

export const importCommand = defineCommand({
  operands: 'VOLUME [FILE|-]',
  count: [1, 2],
  flags: {},
  examples: ['berth volume import data data.tar.gz', 'ssh other berth volume export data | berth volume import data'],
  async run(context, { positionals: [name = '', file = '-'] }) {
    if (file === '-' && context.io.stdinIsTerminal) {
      throw new ExitError(1, 'requested import from stdin, but stdin is a terminal');
    }
    const volume = await importVolume(context.client(), name, file === '-' ? archiveOnStdin() : archiveOf(file));
    context.io.out(`${volume.Name}\n`);
  },
});

export const rename = defineCommand({
  operands: 'VOLUME NEW_NAME',
  count: [2, 2],
  flags: {},
  run: (context, { positionals: [name = '', to = ''] }) => renameVolume(context.client(), name, to),
});

export const clone = defineCommand({
  operands: 'VOLUME NEW_VOLUME',
  count: [2, 2],
  flags: {},
  async run(context, { positionals: [name = '', to = ''] }) {
    context.io.out(`${(await cloneVolume(context.client(), name, to)).Name}\n`);
  },
});
