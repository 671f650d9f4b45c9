/**
 * The CLI from argument list to exit code. Global flags come before the command; what follows belongs to it. Failures
 * become docker's words and exit codes here and nowhere else: 125 for a bad flag, 1 for the rest, or what the command
 * itself decided.
 */
import { type CommandContext, ExitError, type Found, HelpAsked, PROGRAM, UsageError } from './command.ts';
import { COMMAND_TABLE, COMMANDS, findCommand, GROUPS } from './command-table.ts';
import { DEFAULT_CONTEXT } from './context/default-context.ts';
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
  const level = globals.values['log-level'];
  if (!LOG_LEVELS.test(level)) {
    io.err(`Unable to parse logging level: ${level}\n`);
    return 1;
  }
  if (globals.values.version) {
    io.out(`Berth version ${VERSION}\n`);
    return 0;
  }
  const [first, second] = words[0] === 'help' ? words.slice(1) : words;
  if (globals.help || first === undefined) {
    const write = globals.help || words[0] === 'help' ? io.out : io.err;
    write((await import('./program-help.ts')).programHelp(GLOBAL_FLAGS, await helpColumns(invocation)));
    return 0;
  }
  if (first === '__complete') {
    const { answerShell } = await import('./completion/command.ts');
    await answerShell(await contextOf(invocation, globals.values, first), words.slice(1));
    return 0;
  }
  if (first === 'build' || first === 'builder' || second === 'build') {
    const { aliasedBuilder, runPlugin } = await import('./plugins/plugins.ts');
    const aliased = aliasedBuilder(words, argv, globals.values, invocation.environment);
    if (aliased !== undefined) return runPlugin(aliased.program, aliased.argv, globals.values, invocation.environment);
  }
  const found = findCommand(words[0] === 'help' ? [...words.slice(1), '--help'] : words);
  if (found === undefined) {
    return unknownCommand(invocation, globals.values, first, words[0] === 'help' ? '--help' : second);
  }
  return runCommand(invocation, globals.values, found);
}

async function unknownCommand(
  invocation: Invocation,
  globals: GlobalValues,
  first: string,
  second: string | undefined,
): Promise<number> {
  const { io, argv, environment } = invocation;
  const { findPlugin, runPlugin } = await import('./plugins/plugins.ts');
  const plugin = findPlugin(first, globals, environment);
  if (plugin !== undefined) return runPlugin(plugin, argv, globals, environment);
  const { insteadOf, nearest } = await import('./elsewhere.ts');
  const hintAt = (words: string) => `Run '${PROGRAM} ${words}--help' for more information`;
  if (!Object.hasOwn(GROUPS, first)) {
    const instead = insteadOf(first, PROGRAM);
    const near = nearest(first, [...Object.keys(GROUPS), ...COMMANDS.flatMap(({ names }) => names).filter(isOneWord)]);
    const meant = near === undefined ? '' : `\nDid you mean "${PROGRAM} ${near}"?\n`;
    io.err(instead ?? `${PROGRAM}: unknown command: ${PROGRAM} ${first}\n${meant}\n${hintAt('')}\n`);
    return 1;
  }
  if (second === undefined || second === '--help' || second === '-h') {
    // Asked for on stdout; as a reminder that something is missing, on stderr.
    const write = second === undefined ? io.err : io.out;
    write((await import('./program-help.ts')).groupHelp(first));
    return 0;
  }
  const usage = `Usage:  ${PROGRAM} ${first}`;
  const hint = hintAt(`${first} `);
  if (second.startsWith('-')) {
    io.err(`unknown flag: ${second}\n\n${usage}\n\n${hint}\n`);
    return EXIT_FLAG;
  }
  const group = COMMANDS.flatMap(({ names }) => names).filter((name) => name.startsWith(`${first} `));
  const near = nearest(
    second,
    group.map((name) => name.slice(first.length + 1)),
  );
  const meant = near === undefined ? '' : `\nDid you mean "${PROGRAM} ${first} ${near}"?\n`;
  io.err(`${PROGRAM}: unknown command: ${PROGRAM} ${first} ${second}\n${meant}\n${usage}\n\n${hint}\n`);
  return 1;
}

function isOneWord(name: string): boolean {
  return !name.includes(' ');
}

/** Those of docker's client; ours writes no log. */
const LOG_LEVELS = /^(?:panic|fatal|error|warn|warning|info|debug|trace)$/i;

/** Where a failure came from, and what caused it. */
function traceOf(error: unknown): string {
  let text = '';
  for (let one = error; one instanceof Error; one = one.cause)
    text += `${text === '' ? '' : 'caused by '}${one.stack ?? String(one)}\n`;
  return text;
}

/** Of the terminal, as docker's help; a pipe gets the same as one of 80 columns. */
async function helpColumns({ io, environment }: Invocation): Promise<number | undefined> {
  if (!io.stdoutIsTerminal) return undefined;
  const { screenSize } = await import('./terminal/screen.ts');
  return screenSize(environment).columns;
}

/** What a command is given; connects, and complains of the configuration file, on first use. */
async function contextOf(invocation: Invocation, globals: GlobalValues, path: string): Promise<CommandContext> {
  const { io, environment } = invocation;
  const { configDirectory, loadConfigFile } = await import('./config-file/config-file.ts');
  const directory = configDirectory(environment, globals.config);
  // Read while the code is loaded.
  const [file, { connect, chosenContext }] = await Promise.all([loadConfigFile(directory), import('./connect.ts')]);
  // Few have any, so the code is loaded for them alone.
  const contexts =
    chosenContext(globals, environment, file.json) === DEFAULT_CONTEXT
      ? undefined
      : new (await import('./context/store.ts')).ContextStore(directory);
  let client: ReturnType<typeof connect> | undefined;
  let told = false;
  const config = () => {
    if (!told && file.problem !== undefined) io.err(`WARNING: Error loading config file: ${file.problem}\n`);
    told = true;
    return file.json;
  };
  return {
    io,
    environment,
    globals,
    table: COMMAND_TABLE,
    path,
    config,
    client: () => (client ??= connect(globals, environment, config(), contexts)),
  };
}

async function runCommand(invocation: Invocation, globals: GlobalValues, found: Found): Promise<number> {
  const { io } = invocation;
  const { entry, path, rest } = found;
  const [command, context] = await Promise.all([entry.load(), contextOf(invocation, globals, path)]);
  try {
    return await command.execute(context, rest);
  } catch (error) {
    if (error instanceof HelpAsked) {
      io.out(command.help(path, entry.summary, entry.names, await helpColumns(invocation)));
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
    if (globals.debug || invocation.environment['BERTH_DEBUG'] === '1') io.err(traceOf(error));
    return 1;
  }
}
