/**
 * Every flag that docker's client has (cli/docker-commands.json), through both programs, each on a daemon of ours: the
 * same output, messages and codes. What this script and the common one leave out is a failure.
 */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { findCommand, GROUPS } from '#client/command-table.ts';
import { parseFlags } from '#client/flags/parse-flags.ts';
import { type CommandOptions, type CommandResult, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { TestRegistry } from '../../support/registry.ts';
import known from '../cli/docker-commands.json' with { type: 'json' };
import { allowed, compare, type Engine, show } from './compare.ts';
import { containerSteps } from './flags/containers.ts';
import { imageSteps } from './flags/images.ts';
import { otherSteps } from './flags/others.ts';
import { steps as common } from './script.ts';

const BERTH = path.resolve(import.meta.dirname, '../../../berth');
const steps = [...containerSteps, ...imageSteps, ...otherSteps];

/** Their flags are one table that makes one request. */
const TWIN: ReadonlyMap<string, string> = new Map([['container create', 'container run']]);

/** Of Swarm, managed plugins, checkpoints and plugins of the client: cli/every-flag.test.ts has them. */
const ELSEWHERE = /^(?:swarm|service|stack|node|config|plugin|checkpoint|bake)\b/;

test('every flag of every command is driven by a step', async () => {
  const driven = new Map<string, Set<string>>();
  for (const { args } of [...steps, ...common]) {
    const found = findCommand(args);
    if (found === undefined) continue;
    const command = await found.entry.load();
    const [name] = found.entry.names;
    const given = driven.get(TWIN.get(name) ?? name) ?? new Set();
    driven.set(TWIN.get(name) ?? name, given);
    try {
      const { interspersed } = command;
      for (const flag of parseFlags(command.flags, found.rest, { interspersed }).given) given.add(flag);
    } catch {
      // It is meant to be refused: the flag that is in it is driven.
      for (const [, flag = ''] of args.join(' ').matchAll(/--([\w-]+)/g)) given.add(flag);
    }
  }
  const missing: string[] = [];
  for (const [name, flags] of Object.entries(known)) {
    if (ELSEWHERE.test(name) || Object.hasOwn(GROUPS, name)) continue;
    const found = findCommand(name.split(' '))?.entry.names[0] ?? '';
    const entry = TWIN.get(found) ?? found;
    if (!driven.has(entry)) missing.push(name);
    for (const flag of flags) if (!driven.get(entry)?.has(flag)) missing.push(`${name} --${flag}`);
  }
  expect(missing).toEqual([]);
});

class Side implements Engine, AsyncDisposable {
  readonly #program: string;
  readonly #daemon: TestDaemon;
  readonly #registry: TestRegistry;
  readonly #directory: string;

  private constructor(program: string, daemon: TestDaemon, registry: TestRegistry) {
    this.#program = program;
    this.#daemon = daemon;
    this.#registry = registry;
    this.#directory = path.join(daemon.directory, 'work');
    fs.mkdirSync(this.#directory);
  }

  static async start(program: string): Promise<Side> {
    const registry = await TestRegistry.start({ user: { name: 'me', password: 'secret' } });
    try {
      return new Side(program, await TestDaemon.start(), registry);
    } catch (error) {
      await registry[Symbol.asyncDispose]();
      throw error;
    }
  }

  get socket(): string {
    return this.#daemon.socket;
  }

  get own(): Record<string, string> {
    const place = 100 + ((2 * process.pid) % 90) + (this.#program === BERTH ? 1 : 0);
    return {
      [this.#registry.host]: 'REG',
      [this.#daemon.directory]: 'DIR',
      [`10.${place}.`]: 'NETA.',
      [`fd00:${place}:`]: 'fd00:NETB:',
    };
  }

  async docker(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const env = {
      DOCKER_HOST: `unix://${this.socket}`,
      BERTH_HOST: '',
      DOCKER_CONFIG: path.join(this.#daemon.directory, 'client'),
      DOCKER_BUILDKIT: '0',
      DOCKER_CLI_HINTS: 'false',
      XDG_CACHE_HOME: path.join(this.#daemon.directory, 'cache'),
      ...options.env,
    };
    const [first = '', ...rest] = args;
    const [program, words] = first === 'host' ? [rest[0] ?? '', rest.slice(1)] : [this.#program, args];
    const said = await run(program, words, { ...options, env, cwd: this.#directory });
    return { ...said, stdout: asDocker(said.stdout), stderr: asDocker(said.stderr) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]();
    await this.#registry[Symbol.asyncDispose]();
  }
}

/** Where the client names itself, and what the stock one says of its own age. */
function asDocker(text: string): string {
  return text
    .replace(/\bberth: /g, 'docker: ')
    .replace(/(Usage: {2}|\bRun '|\bSee '|unknown command: |'|")berth /g, '$1docker ')
    .replaceAll('Berth', 'Docker')
    .replace(/DEPRECATED: The legacy builder.*?\n\n/s, '');
}

test('the same as the stock CLI, but for what flag-differences.txt lists', async () => {
  await using stock = await Side.start('docker');
  await using ours = await Side.start(BERTH);
  const { differences } = await compare(stock, ours, steps);
  const reasons = allowed('flag-differences.txt');
  const fresh = differences.filter((d) => !reasons.has(d.command));
  const gone = [...reasons.keys()].filter((c) => !differences.some((d) => d.command === c));
  expect(fresh.map(show).join('\n')).toBe('');
  expect(gone).toEqual([]); // a difference that is no more must leave the list
}, 900_000);
