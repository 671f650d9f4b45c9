/**
 * Plugins of docker's client (`docker-compose`, `docker-buildx`, …) run as commands of ours: same folders, same
 * protocol (https://github.com/docker/cli/tree/master/cli-plugins: the program is called with the whole command line).
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { DEFAULT_HOST } from '#api/client/address.ts';
import { runInForeground } from '#pkg/command/session.ts';
import { configDirectory, readConfigFile, textsOf } from '../config-file/config-file.ts';
import { chosenContext, hostVariable } from '../connect.ts';
import { DEFAULT_CONTEXT } from '../context/default-context.ts';
import type { GlobalValues } from '../global-flags.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const FOLDERS = ['/usr/local/lib', '/usr/local/libexec', '/usr/lib', '/usr/libexec'].map(
  (f) => `${f}/docker/cli-plugins`,
);
const NAME = /^[a-z][a-z0-9]*$/;

/** Folders in docker's order; the first that has a name wins. */
function folders(directory: string): string[] {
  const extra = readConfigFile(directory).json['cliPluginsExtraDirs'];
  const named = Array.isArray(extra) ? extra.filter((one) => typeof one === 'string') : [];
  return [...named, path.join(directory, 'cli-plugins'), ...FOLDERS];
}

/** The program of a plugin; undefined when there is none of this name. */
export function findPlugin(name: string, globals: GlobalValues, environment: Environment): string | undefined {
  if (!NAME.test(name)) return undefined;
  for (const folder of folders(configDirectory(environment, globals.config))) {
    const file = path.join(folder, `docker-${name}`);
    try {
      if (!fs.statSync(file).isFile()) continue;
      fs.accessSync(file, fs.constants.X_OK);
      return file;
    } catch {
      // Not there, or nothing that can be run: the next folder may have it.
    }
  }
  return undefined;
}

/** The commands of docker's client that its only alias, `builder`, can lead elsewhere. */
const BUILDS: Readonly<Record<string, readonly string[]>> = { build: ['build'], builder: [], 'image build': ['build'] };

export interface Aliased {
  readonly program: string;
  /** The whole command line, as the plugin is called. */
  readonly argv: readonly string[];
}

/**
 * `"aliases": {"builder": "buildx"}` of config.json (what `docker buildx install` writes) lets a plugin build. undefined
 * when none is set, its plugin is missing, or DOCKER_BUILDKIT=0 says no.
 */
export function aliasedBuilder(
  words: readonly string[],
  argv: readonly string[],
  globals: GlobalValues,
  environment: Environment,
): Aliased | undefined {
  const typed = words[0] === 'image' ? words.slice(0, 2) : words.slice(0, 1);
  const into = BUILDS[typed.join(' ')];
  if (into === undefined || /^(?:0|f|false)$/i.test(environment['DOCKER_BUILDKIT'] ?? '')) return undefined;
  const directory = configDirectory(environment, globals.config);
  const name = textsOf(readConfigFile(directory).json, 'aliases')['builder'];
  const program = name === undefined ? undefined : findPlugin(name, globals, environment);
  if (name === undefined || program === undefined) return undefined;
  const before = argv.slice(0, argv.length - words.length);
  return { program, argv: [...before, name, ...into, ...words.slice(typed.length)] };
}

/** Names of all plugins that are installed. */
export function pluginNames(globals: GlobalValues, environment: Environment): string[] {
  const found = new Set<string>();
  for (const folder of folders(configDirectory(environment, globals.config))) {
    for (const file of fs.existsSync(folder) ? fs.readdirSync(folder) : []) {
      const name = /^docker-([a-z][a-z0-9]*)$/.exec(file)?.[1];
      if (name !== undefined && findPlugin(name, globals, environment) !== undefined) found.add(name);
    }
  }
  return [...found].sort();
}

/** `argv` as typed. A plugin would look for dockerd's socket; unless told otherwise it is shown ours. */
export async function runPlugin(
  program: string,
  argv: readonly string[],
  globals: GlobalValues,
  environment: Environment,
): Promise<number> {
  const host = hostVariable(environment);
  const ours = host === '' && chosenContext(globals, environment) === DEFAULT_CONTEXT && globals.host.length === 0;
  return runInForeground(program, argv, {
    ...environment,
    ...(host === '' ? {} : { DOCKER_HOST: host }),
    ...(ours ? { DOCKER_HOST: DEFAULT_HOST } : {}),
    DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND: process.argv0,
  });
}
