/** `start`. */
import {
  attachContainer,
  inspectContainer,
  resizeContainer,
  startContainer,
  waitContainer,
} from '#api/client/containers.ts';
import { type CommandContext, defineCommand, ExitError, PROGRAM } from '../command.ts';
import { detachKeysFlag, detachKeysOf } from '../common-flags.ts';
import { describeFailure } from '../failure.ts';
import { flag, refused } from '../flags/flag-spec.ts';
import { followTerminalSize } from '../terminal/resize.ts';
import { runSession } from '../terminal/session.ts';
import { checkTerminal, forwardSignals } from './attach.ts';
import { exitCodeOf } from './exit-status.ts';

export const start = defineCommand({
  operands: 'CONTAINER [CONTAINER...]',
  count: [1, Infinity],
  flags: {
    attach: flag('Attach STDOUT/STDERR and forward signals', { shorthand: 'a' }),
    checkpoint: refused('--checkpoint: checkpoints need CRIU, which Berth does not use'),
    'checkpoint-dir': refused('--checkpoint-dir: checkpoints need CRIU, which Berth does not use'),
    'detach-keys': detachKeysFlag(),
    interactive: flag("Attach container's STDIN", { shorthand: 'i' }),
  },
  async run(context, { values, positionals }) {
    if (!values.attach && !values.interactive) return startAll(context, positionals);
    const [container = ''] = positionals;
    if (positionals.length > 1) throw new ExitError(1, 'you cannot start and attach multiple containers at once');
    return startAttached(context, container, values.interactive, detachKeysOf(context, values));
  },
});

async function startAll(context: CommandContext, containers: readonly string[]): Promise<number> {
  const failed: string[] = [];
  for (const container of containers) {
    try {
      await startContainer(context.client(), container);
      context.io.out(`${container}\n`);
    } catch (error) {
      context.io.err(`${describeFailure(error)}\n`);
      failed.push(container);
    }
  }
  if (failed.length === 0) return 0;
  throw new ExitError(1, `Error: failed to start containers: ${failed.join(', ')}`);
}

async function startAttached(
  context: CommandContext,
  container: string,
  interactive: boolean,
  detachKeys: string,
): Promise<number> {
  const client = context.client();
  const { Id, Config, HostConfig } = await inspectContainer(client, container);
  const stdin = interactive && Config.OpenStdin;
  checkTerminal(context, stdin, Config.Tty);
  using _signals = forwardSignals(context, Id);
  // Both stand before the start, so that neither output nor exit is missed.
  using connection = await attachContainer(client, Id, { stdin, stdout: true, stderr: true, detachKeys });
  const session = runSession({ connection, tty: Config.Tty, stdin, stdout: true, stderr: true, detachKeys });
  session.catch(() => undefined);
  const { exit } = await waitContainer(client, Id, HostConfig.AutoRemove ? 'removed' : 'next-exit');
  try {
    await startContainer(client, Id, detachKeys);
  } catch (error) {
    connection[Symbol.dispose]();
    context.io.err(`${describeFailure(error)}\n`);
    throw new ExitError(1, `${PROGRAM}: failed to start containers: ${container}`);
  }
  using _size = Config.Tty
    ? followTerminalSize((height, width) => resizeContainer(client, Id, height, width))
    : undefined;
  if ((await session) === 'detached') throw new ExitError(1, 'read escape sequence');
  return exitCodeOf(exit);
}
