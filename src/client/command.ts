/**
 * What a command is: its operands, flags, help and work. The table names commands; the files beside it define them and
 * are loaded only when asked for.
 */
import type { ApiClient } from '#api/client/api-client.ts';
import type { FlagTable } from './flags/flag-spec.ts';
import { flagUsage } from './flags/flag-usage.ts';
import { type ParsedFlags, parseFlags } from './flags/parse-flags.ts';
import type { GlobalValues } from './global-flags.ts';
import type { Io } from './terminal/io.ts';

export interface CommandContext {
  readonly io: Io;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The flags before the command. */
  readonly globals: GlobalValues;
  /** The configuration file's keys; read on first use. */
  config(): Readonly<Record<string, unknown>>;
  /** All commands: help, completion and manual pages tell of them. */
  readonly table: CommandTable;
  /** As typed: 'container ls', 'ps'. */
  readonly path: string;
  /** Made on first use; connects on its first request. */
  client(): ApiClient;
}

/** Ends the command with this exit code; a message, if any, goes to stderr as it is. */
export class ExitError extends Error {
  override readonly name = 'ExitError';
  readonly code: number;

  constructor(code: number, message = '') {
    super(message);
    this.code = code;
  }
}

/** A wrong number of arguments, or flags that exclude each other. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface CommandDefinition<F extends FlagTable> {
  /** After the flags: 'IMAGE [COMMAND] [ARG...]'. */
  readonly operands: string;
  /** Least and greatest number of operands. */
  readonly count: readonly [number, number];
  readonly flags: F;
  /** false: options end at the first operand, because the rest belongs to the program that is run. */
  readonly interspersed?: boolean;
  readonly examples?: readonly string[];
  /** The exit code; nothing is 0. */
  run(context: CommandContext, input: ParsedFlags<F>): Promise<number | void>;
}

export interface Command {
  readonly flags: FlagTable;
  readonly operands: string;
  /** false: what follows the first operand is another program's. */
  readonly interspersed: boolean;
  readonly examples: readonly string[];
  execute(context: CommandContext, argv: readonly string[]): Promise<number>;
  /** `columns`: of the screen that it is for. */
  help(path: string, summary: string, aliases: readonly string[], columns?: number): string;
  usage(path: string): string;
}

export interface TableEntry {
  /** All names; the first is shown first in help. */
  readonly names: readonly [string, ...string[]];
  readonly summary: string;
  /** Not shown in help: for programs. */
  readonly hidden?: true;
  /** Shown in the list that everybody needs. */
  readonly common?: true;
  load(): Promise<Command>;
}

export interface Found {
  readonly entry: TableEntry;
  /** The name as typed. */
  readonly path: string;
  readonly rest: readonly string[];
}

export interface CommandTable {
  /** Name → summary of each group. */
  readonly groups: Readonly<Record<string, string>>;
  readonly entries: readonly TableEntry[];
  /** The longest name that the words begin with. */
  find(words: readonly string[]): Found | undefined;
}

export const PROGRAM = 'berth';

export function defineCommand<F extends FlagTable>(definition: CommandDefinition<F>): Command {
  const { flags, operands, count, examples = [] } = definition;
  const hasOptions = Object.values(flags).some((spec) => !spec.hidden);
  const usage = (path: string) =>
    ['Usage: ', PROGRAM, path, ...(hasOptions ? ['[OPTIONS]'] : []), operands].filter((w) => w !== '').join(' ');
  return {
    flags,
    operands,
    interspersed: definition.interspersed ?? true,
    examples,
    usage,
    async execute(context, argv) {
      const input = parseFlags(flags, argv, { interspersed: definition.interspersed ?? true });
      if (input.help) throw new HelpAsked();
      checkCount(context.path, input.positionals.length, count);
      return (await definition.run(context, input)) ?? 0;
    },
    help(path, summary, aliases, columns) {
      const parts = [usage(path), summary];
      if (aliases.length > 1) parts.push(`Aliases:\n  ${aliases.map((name) => `${PROGRAM} ${name}`).join(', ')}`);
      if (examples.length > 0) parts.push(`Examples:\n${examples.map((line) => `  ${line}`).join('\n')}`);
      if (hasOptions) parts.push(`Options:\n${flagUsage(flags, columns).trimEnd()}`);
      return `${parts.join('\n\n')}\n`;
    },
  };
}

/** `--help` was given. */
export class HelpAsked extends Error {
  override readonly name = 'HelpAsked';
}

function checkCount(path: string, given: number, [least, most]: readonly [number, number]): void {
  if (given >= least && given <= most) return;
  const plural = (n: number) => (n === 1 ? 'argument' : 'arguments');
  const command = `'${PROGRAM} ${path}'`;
  if (most === 0) throw new UsageError(`${command} accepts no arguments`);
  if (least === most) throw new UsageError(`${command} requires ${least} ${plural(least)}`);
  if (given < least && most === Infinity) {
    throw new UsageError(`${command} requires at least ${least} ${plural(least)}`);
  }
  if (least === 0) throw new UsageError(`${command} requires at most ${most} ${plural(most)}`);
  throw new UsageError(`${command} requires at least ${least} and at most ${most} arguments`);
}
