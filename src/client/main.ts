/**
 * The CLI from argument list to exit code. Global flags come before the command; what follows belongs to it. Failures
 * become docker's words and exit codes here and nowhere else: 125 for a bad flag, 1 for the rest, or what the command
 * itself decided.
 */
import { ExitError, HelpAsked, PROGRAM, UsageError } from './command.ts';
import { findCommand, type Found, GROUPS } from './command-table.ts';
import { describeFailure } from './failure.ts';
import { FlagError, type ParsedFlags, parseFlags } from './flags/parse-flags.ts';
import { GLOBAL_FLAGS, type GlobalValues } from './global-flags.ts';
import type { Io } from './terminal/io.ts';
import { VERSION } from './version.ts';

export interface Invocation {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly io: Io;
}

const EXIT_FLAG = 125;

export async function runCli(invocation: Invocation): Promise<number> {
  const { argv, io } = invocation;
  let globals: ParsedFlags<typeof GLOBAL_FLAGS>;
  try {
    globals = parseFlags(GLOBAL_FLAGS, argv, { interspersed: false });
  } catch (error) {
    if (!(error instanceof FlagError)) throw error;
    const usage = `Usage:  ${PROGRAM} [OPTIONS] COMMAND [ARG...]`;
    io.err(`${error.message}\n\n${usage}\n\nRun '${PROGRAM} --help' for more information\n`);
    return EXIT_FLAG;
  }
  const words = globals.positionals;
  if (globals.values.version) {
    io.out(`Berth version ${VERSION}\n`);
    return 0;
  }
  const [first, second] = words[0] === 'help' ? words.slice(1) : words;
  if (globals.help || first === undefined) {
    io.out((await import('./program-help.ts')).programHelp(GLOBAL_FLAGS));
    return 0;
  }
  const found = findCommand(words[0] === 'help' ? [...words.slice(1), '--help'] : words);
  if (found === undefined) return unknownCommand(io, first, second);
  return runCommand(invocation, globals.values, found);
}

async function unknownCommand(io: Io, first: string, second: string | undefined): Promise<number> {
  if (!Object.hasOwn(GROUPS, first)) {
    io.err(`${PROGRAM}: unknown command: ${PROGRAM} ${first}\n\nRun '${PROGRAM} --help' for more information\n`);
    return 1;
  }
  if (second === undefined || second === '--help' || second === '-h') {
    io.out((await import('./program-help.ts')).groupHelp(first));
    return 0;
  }
  const usage = `Usage:  ${PROGRAM} ${first}`;
  const hint = `Run '${PROGRAM} ${first} --help' for more information`;
  if (second.startsWith('-')) {
    io.err(`unknown flag: ${second}\n\n${usage}\n\n${hint}\n`);
    return EXIT_FLAG;
  }
  io.err(`${PROGRAM}: unknown command: ${PROGRAM} ${first} ${second}\n\n${usage}\n\n${hint}\n`);
  return 1;
}

async function runCommand(invocation: Invocation, globals: GlobalValues, found: Found): Promise<number> {
  const { io, environment } = invocation;
  const { entry, path, rest } = found;
  const command = await entry.load();
  const { connect } = await import('./connect.ts');
  let client: ReturnType<typeof connect> | undefined;
  const context = { io, environment, path, client: () => (client ??= connect(globals, environment)) };
  try {
    return await command.execute(context, rest);
  } catch (error) {
    if (error instanceof HelpAsked) {
      io.out(command.help(path, entry.summary, entry.names));
      return 0;
    }
    if (error instanceof FlagError) {
      io.err(`${error.message}\n\n${command.usage(path)}\n\nRun '${PROGRAM} ${path} --help' for more information\n`);
      return EXIT_FLAG;
    }
    if (error instanceof UsageError) {
      const see = error.message.includes(' at ') ? 'See' : 'Run';
      const hint = `${see} '${PROGRAM} ${path} --help' for more information`;
      io.err(`${PROGRAM}: ${error.message}\n\n${command.usage(path)}\n\n${hint}\n`);
      return 1;
    }
    if (error instanceof ExitError) {
      if (error.message !== '') io.err(`${error.message}\n`);
      return error.code;
    }
    io.err(`${describeFailure(error)}\n`);
    return 1;
  }
}
