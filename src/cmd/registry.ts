/** `berth registry …`: a registry without a daemon. `serve` is the server, `collect` asks a running one to collect. */
import { FlagError, parseFlags } from '#client/flags/parse-flags.ts';
import { type FlagSpec, flag, list, text } from '#client/flags/flag-spec.ts';
import { flagUsage } from '#client/flags/flag-usage.ts';
import { messageOf } from '#errdefs/errors.ts';
import { logLevels, setLogLevel } from '#pkg/log/log.ts';
import { humanSize } from '#pkg/units/size.ts';
import { type OptionSpec, REGISTRY_OPTIONS, registryConfigOf } from '#registryserver/config.ts';

const USAGE = `Usage:  berth registry COMMAND

Serve images to others

Commands:
  collect     Ask a registry to remove what nothing refers to
  serve       Serve an OCI registry in the foreground

Run 'berth registry COMMAND --help' for more information on a command.
`;

/** Exit code. */
export async function registryMain(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  try {
    if (command === 'serve') return await serve(rest);
    if (command === 'collect') return await collectOf(rest);
  } catch (error) {
    const hint = error instanceof FlagError ? `\n\nRun 'berth registry ${command} --help' for more information` : '';
    console.error(`${messageOf(error)}${hint}`);
    return error instanceof FlagError ? 125 : 1;
  }
  if (command === undefined || command === '--help' || command === '-h') {
    process.stdout.write(USAGE);
    return 0;
  }
  console.error(
    `berth: unknown command: berth registry ${command}\n\nRun 'berth registry --help' for more information`,
  );
  return 1;
}

function specOf({ kind, help, initial = '' }: OptionSpec): FlagSpec<unknown> {
  if (kind === 'flag') return flag(help);
  return kind === 'texts' ? list(help) : text(help, { initial });
}

const SERVE_FLAGS = {
  ...Object.fromEntries(Object.entries(REGISTRY_OPTIONS).map(([name, spec]) => [name, specOf(spec)])),
  'log-level': text(`Least level of what is logged (${logLevels.join('|')})`, { initial: 'info' }),
};

async function serve(argv: readonly string[]): Promise<number> {
  const { values, help, positionals } = parseFlags(SERVE_FLAGS, argv, { interspersed: true });
  if (help) {
    const title = 'Usage:  berth registry serve [OPTIONS]\n\nServe an OCI registry in the foreground';
    process.stdout.write(`${title}\n\nOptions:\n${flagUsage(SERVE_FLAGS).trimEnd()}\n`);
    return 0;
  }
  if (positionals.length > 0) throw new FlagError("'berth registry serve' accepts no arguments");
  const { 'log-level': wanted, ...options } = values;
  const level = logLevels.find((known) => known === wanted);
  if (level === undefined) throw new FlagError(`invalid logging level: ${wanted}`);
  setLogLevel(level);
  const config = registryConfigOf(options);
  const { RegistryServer } = await import('#registryserver/server.ts');
  const ended = Promise.withResolvers<void>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.resolve());
  await using _server = await RegistryServer.start(config);
  await ended.promise;
  return 0;
}

const COLLECT_FLAGS = {
  'dry-run': flag('Only tell what would be removed'),
  user: text('User and password, USER:PASSWORD; better by BERTH_REGISTRY_USER', { shorthand: 'u' }),
};

async function collectOf(argv: readonly string[]): Promise<number> {
  const { values, help, positionals } = parseFlags(COLLECT_FLAGS, argv, { interspersed: true });
  if (help) {
    const title = 'Usage:  berth registry collect [OPTIONS] [URL]\n\nAsk a registry to remove what nothing refers to';
    process.stdout.write(`${title}\n\nOptions:\n${flagUsage(COLLECT_FLAGS).trimEnd()}\n`);
    return 0;
  }
  const [url = 'http://127.0.0.1:5000', ...more] = positionals;
  if (more.length > 0) throw new FlagError("'berth registry collect' requires at most 1 argument");
  const user = values.user === '' ? process.env['BERTH_REGISTRY_USER'] : values.user;
  const headers: Record<string, string> =
    user === undefined ? {} : { authorization: `Basic ${Buffer.from(user).toString('base64')}` };
  const address = `${url.replace(/\/+$/, '')}/v2/_berth/collect${values['dry-run'] ? '?dry-run=1' : ''}`;
  const answer = await fetch(address, { method: 'POST', headers });
  const body = await answer.text();
  if (!answer.ok) throw new Error(`Cannot collect at "${url}": ${answer.status} ${body.trim()}`);
  // as: the answer of our own server, whose fields are `CollectReport`.
  const report = JSON.parse(body) as { manifests: number; blobs: number; bytes: number; uploads: number };
  const { manifests, blobs, bytes, uploads } = report;
  const verb = values['dry-run'] ? 'Would remove' : 'Removed';
  console.log(`${verb} ${manifests} manifests, ${blobs} blobs (${humanSize(bytes)}), ${uploads} uploads`);
  return 0;
}
