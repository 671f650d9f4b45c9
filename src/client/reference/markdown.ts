/** docs/commands.md. */
import { type CommandTable, PROGRAM } from '../command.ts';
import { collectCommands, type DocumentedCommand, type DocumentedFlag, globalFlags } from './collect.ts';

export async function commandReference(table: CommandTable): Promise<string> {
  const commands = await collectCommands(table);
  const index = commands.map(({ name, summary }) => `- [\`${PROGRAM} ${name}\`](#${anchor(name)}): ${summary}`);
  return `${[
    '# Commands',
    'Generated from the command table (`bun tools/commands.ts`), which `--help`, the manual pages and completion are made of as well.',
    index.join('\n'),
    '## Flags before the command',
    flagTable(globalFlags()),
    ...commands.flatMap(section),
  ].join('\n\n')}\n`;
}

function anchor(name: string): string {
  return `${PROGRAM}-${name.replaceAll(' ', '-')}`;
}

function section({ name, aliases, summary, usage, flags, examples }: DocumentedCommand): string[] {
  const parts = [`## ${PROGRAM} ${name}`, `${summary}.`.replace(/\.\.$/, '.'), indented(usage.split('\n'))];
  if (aliases.length > 0) parts.push(`Also: ${aliases.map((alias) => `\`${alias}\``).join(', ')}`);
  if (flags.length > 0) parts.push(flagTable(flags));
  if (examples.length > 0) parts.push(`Examples:\n\n${indented(examples)}`);
  return parts;
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `    ${line.trim()}`).join('\n');
}

function flagTable(flags: readonly DocumentedFlag[]): string {
  const cell = (text: string) =>
    text.replaceAll('|', '\\|').replaceAll('\n', '<br>').replaceAll('<', '&lt;').replaceAll('&lt;br>', '<br>');
  const rows = flags.map(({ spelling, type, help, initial }) => {
    const shown = initial === '' ? '' : ` (default ${initial})`;
    return `| \`${spelling}${type === '' ? '' : ` ${type}`}\` | ${cell(help + shown)} |`;
  });
  return ['| flag | |', '|---|---|', ...rows].join('\n');
}
