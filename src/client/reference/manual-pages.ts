/** Manual pages (man(7)) of section 1, one for the program and one a command. */
import { type CommandTable, PROGRAM } from '../command.ts';
import { VERSION } from '../version.ts';
import { collectCommands, type DocumentedCommand, type DocumentedFlag, globalFlags } from './collect.ts';

/** File name → text. */
export async function manualPages(table: CommandTable): Promise<ReadonlyMap<string, string>> {
  const commands = await collectCommands(table);
  const pages = new Map([[`${PROGRAM}.1`, programPage(table, commands)]]);
  for (const command of commands) {
    pages.set(`${pageName(command.name)}.1`, commandPage(command));
    // `man berth-run` finds the page of `berth container run`.
    for (const alias of command.aliases) {
      const name = pageName(alias.slice(PROGRAM.length + 1));
      pages.set(`${name}.1`, `.so man1/${pageName(command.name)}.1\n`);
    }
  }
  return pages;
}

function pageName(command: string): string {
  return `${PROGRAM}-${command.replaceAll(' ', '-')}`;
}

function title(name: string, summary: string): string {
  const head = `.TH "${name.toUpperCase()}" "1" "" "Berth ${VERSION}" "Berth Manual"\n.nh\n.ad l\n`;
  return `${head}.SH NAME\n${escape(name)} \\- ${escape(summary)}\n`;
}

function programPage(table: CommandTable, commands: readonly DocumentedCommand[]): string {
  const list = (lines: readonly (readonly [string, string])[]) =>
    lines.map(([name, summary]) => `.TP\n\\fB${escape(name)}\\fP\n${escape(summary)}\n`).join('');
  return [
    title(PROGRAM, 'a container engine for Linux'),
    `.SH SYNOPSIS\n\\fB${PROGRAM}\\fP [OPTIONS] COMMAND [ARG...]\n`,
    `.SH OPTIONS\n${options(globalFlags())}`,
    `.SH COMMANDS\n${list(commands.map(({ name, summary }) => [name, summary] as const))}`,
    `.SH GROUPS\n${list(Object.entries(table.groups))}`,
    `.SH ENVIRONMENT\n${list([
      ['BERTH_HOST, DOCKER_HOST', 'The daemon to speak to.'],
      ['DOCKER_CONFIG', 'The folder of config.json and contexts; ~/.docker.'],
      ['DOCKER_CONTEXT', 'The context to use.'],
      ['BERTH_DEBUG', '1: show where a failure came from.'],
      ['NO_COLOR', 'No colours.'],
    ])}`,
    `.SH SEE ALSO\n${commands.map(({ name }) => `\\fB${escape(pageName(name))}\\fP(1)`).join(', ')}\n`,
  ].join('');
}

function commandPage({ name, aliases, summary, usage, flags, examples }: DocumentedCommand): string {
  const parts = [title(pageName(name), summary), `.SH SYNOPSIS\n.nf\n${escape(usage)}\n.fi\n`];
  if (aliases.length > 0) parts.push(`.SH ALIASES\n${escape(aliases.join(', '))}\n`);
  if (flags.length > 0) parts.push(`.SH OPTIONS\n${options(flags)}`);
  if (examples.length > 0)
    parts.push(`.SH EXAMPLES\n.nf\n${examples.map((line) => `${escape(line)}\n`).join('')}.fi\n`);
  parts.push(`.SH SEE ALSO\n\\fB${PROGRAM}\\fP(1)\n`);
  return parts.join('');
}

function options(flags: readonly DocumentedFlag[]): string {
  return flags
    .map(({ spelling, type, help, initial }) => {
      const value = type === '' ? '' : ` \\fI${escape(type)}\\fP`;
      const shown = initial === '' ? '' : ` (default ${escape(initial)})`;
      return `.TP\n\\fB${escape(spelling)}\\fP${value}\n${help.split('\n').map(escape).join('\n.br\n')}${shown}\n`;
    })
    .join('');
}

/** Text as text: no requests, no hyphens that are not minus signs. */
function escape(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1');
}
