/** Beyond docker: `builder cache-mount`: what `RUN --mount=type=cache` has gathered, out and in as a tar. */
import { cacheMounts, exportCacheMount, importCacheMount } from '#api/client/build.ts';
import { humanSize } from '#pkg/units/size.ts';
import { defineCommand, ExitError } from '../command.ts';
import { text } from '../flags/flag-spec.ts';
import { archiveOf, archiveOnStdin } from '../image/archive-input.ts';
import { writeArchive } from '../terminal/write-archive.ts';

export const listCommand = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {},
  async run(context) {
    const mounts = await cacheMounts(context.client());
    const width = Math.max(2, ...mounts.map(({ ID }) => ID.length)) + 3;
    context.io.out(`${'ID'.padEnd(width)}${'SIZE'.padEnd(12)}${'IN USE'.padEnd(9)}LAST USED\n`);
    for (const { ID, Size, InUse, LastUsedAt } of mounts) {
      context.io.out(`${ID.padEnd(width)}${humanSize(Size).padEnd(12)}${String(InUse).padEnd(9)}${LastUsedAt}\n`);
    }
  },
});

export const exportCommand = defineCommand({
  operands: 'ID',
  count: [1, 1],
  flags: { output: text('Write to a file, instead of STDOUT', { shorthand: 'o' }) },
  examples: [
    'berth builder cache-mount export /root/.npm | zstd > npm.tar.zst',
    'berth builder cache-mount export -o npm.tar /root/.npm',
  ],
  async run(context, { values, positionals: [id = ''] }) {
    await writeArchive(context.io, values.output, () => exportCacheMount(context.client(), id));
  },
});

export const importCommand = defineCommand({
  operands: 'ID [FILE|-]',
  count: [1, 2],
  flags: {},
  examples: ['berth builder cache-mount import /root/.npm npm.tar.zst'],
  async run(context, { positionals: [id = '', file = '-'] }) {
    if (file === '-' && context.io.stdinIsTerminal) {
      throw new ExitError(1, 'requested import from stdin, but stdin is a terminal');
    }
    await importCacheMount(context.client(), id, file === '-' ? archiveOnStdin() : archiveOf(file));
    context.io.out(`${id}\n`);
  },
});
