/** `build explain`: builds, and says of every step whether its result was there, and if not, what has changed. */
import type { BuildLine } from '#api/client/build.ts';
import { defineCommand } from '../command.ts';
import type { Io } from '../terminal/io.ts';
import { runBuild } from './build.ts';
import { buildFlags } from './build-flags.ts';
import type { BuildView } from './progress.ts';

const reasons: Readonly<Record<string, string>> = {
  below: 'a step before it, or the base image, is another',
  command: 'the command has changed',
  script: 'the content of its heredoc has changed',
  environment: 'variables or build arguments have changed',
  files: 'contents, names, modes or owners of the files have changed',
  destination: 'the destination has changed',
  intoDirectory: 'the destination has changed',
  owner: '--chown has changed',
  mode: '--chmod has changed',
  mounts: 'its mounts, or what is in them, have changed',
  user: 'the user has changed',
  directory: 'the working directory has changed',
  path: 'the path has changed',
  network: 'the network has changed',
  hosts: '--add-host has changed',
  platform: 'the platform is another',
  times: 'SOURCE_DATE_EPOCH has changed',
  imports: 'none of the imported caches has it',
};

export const explain = defineCommand({
  operands: 'PATH | URL | -',
  count: [1, 1],
  flags: buildFlags,
  run: (context, { values, positionals: [place = ''] }) =>
    runBuild(context, values, place, new ExplainView(context.io)),
});

class ExplainView implements BuildView {
  readonly #io: Io;
  readonly #names = new Map<string, string>();
  readonly #why = new Map<string, readonly string[]>();

  constructor(io: Io) {
    this.#io = io;
  }

  sent(): void {}

  end(): void {}

  show({ vertex, why, of = '', ended, outcome, from, warning }: BuildLine): void {
    if (vertex !== undefined) this.#names.set(vertex.id, vertex.name);
    if (why !== undefined) this.#why.set(of, why);
    if (warning !== undefined) this.#io.err(`WARNING: ${warning}\n`);
    if (ended === undefined) return;
    const name = this.#names.get(ended);
    const changed = this.#why.get(ended);
    if (name === undefined || (outcome !== 'cached' && changed === undefined)) return;
    this.#names.delete(ended);
    this.#io.out(`${name}\n`);
    if (outcome === 'cached') this.#io.out(from === undefined ? '  cached\n' : `  cached: imported from ${from}\n`);
    for (const reason of changed ?? []) this.#io.out(`  not cached: ${reasons[reason] ?? reason}\n`);
  }
}
