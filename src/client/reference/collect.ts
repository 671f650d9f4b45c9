/** Every command with its flags, once; manual pages and the reference in docs/ are made of it. */
import { type Command, type CommandTable, PROGRAM } from '../command.ts';
import { GLOBAL_FLAGS } from '../global-flags.ts';
import type { FlagSpec, FlagTable } from '../flags/flag-spec.ts';

export interface DocumentedFlag {
  /** `--name`, with its shorthand before it. */
  readonly spelling: string;
  readonly type: string;
  readonly help: string;
  readonly initial: string;
}

export interface DocumentedCommand {
  /** Without the program; '' for the program itself. */
  readonly name: string;
  readonly aliases: readonly string[];
  readonly summary: string;
  readonly usage: string;
  readonly flags: readonly DocumentedFlag[];
  readonly examples: readonly string[];
}

export async function collectCommands(table: CommandTable): Promise<DocumentedCommand[]> {
  const shown = table.entries.filter((entry) => entry.hidden !== true);
  const all = await Promise.all(
    shown.map(async ({ names, summary, load }) => describe(names[0], names.slice(1), summary, await load())),
  );
  return all.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function globalFlags(): DocumentedFlag[] {
  return flagsOf(GLOBAL_FLAGS);
}

function describe(name: string, aliases: readonly string[], summary: string, command: Command): DocumentedCommand {
  const { flags, examples } = command;
  const usage = command.usage(name).replace(/^Usage:\s+/, '');
  return {
    name,
    aliases: aliases.map((alias) => `${PROGRAM} ${alias}`),
    summary,
    usage,
    flags: flagsOf(flags),
    examples,
  };
}

function flagsOf(table: FlagTable): DocumentedFlag[] {
  return Object.entries(table)
    .filter(([, spec]) => !spec.hidden)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, spec]) => documented(name, spec));
}

function documented(name: string, spec: FlagSpec<unknown>): DocumentedFlag {
  return {
    spelling: spec.shorthand === '' ? `--${name}` : `-${spec.shorthand}, --${name}`,
    type: spec.typeName,
    help: spec.help,
    initial: spec.shownDefault,
  };
}
