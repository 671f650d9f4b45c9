/** `attach`. */
import {
  attachContainer,
  inspectContainer,
  killContainer,
  resizeContainer,
  waitContainer,
} from '#api/client/containers.ts';
import { type CommandContext, defineCommand, ExitError } from '../command.ts';
import { detachKeysFlag, detachKeysOf } from '../common-flags.ts';
import { flag } from '../flags/flag-spec.ts';
import { followTerminalSize } from '../terminal/resize.ts';
import { runSession } from '../terminal/session.ts';
import { proxySignals } from '../terminal/signal-proxy.ts';
import { exitCodeOf } from './exit-status.ts';

export const attach = defineCommand({
  operands: 'CONTAINER',
  count: [1, 1],
  flags: {
    'detach-keys': detachKeysFlag(),
    'no-stdin': flag('Do not attach STDIN'),
    'sig-proxy': flag('Proxy all received signals to the process', { initial: true }),
  },
  async run(context, { values, positionals: [container = ''] }) {
    const client = context.client();
    const { Config, State, Id } = await inspectContainer(client, container);
    if (!State.Running) throw new ExitError(1, 'You cannot attach to a stopped container, start it first');
    if (State.Paused) throw new ExitError(1, 'You cannot attach to a paused container, unpause it first');
    if (State.Restarting)
      throw new ExitError(1, 'You cannot attach to a restarting container, wait until it is running');
    const stdin = !values['no-stdin'] && Config.OpenStdin;
    checkTerminal(context, stdin, Config.Tty);
    const { exit } = await waitContainer(client, Id, 'not-running');
    using connection = await attachContainer(client, Id, {
      stdin,
      stdout: true,
      stderr: true,
      detachKeys: detachKeysOf(context, values),
    });
    using _size = Config.Tty
      ? followTerminalSize((height, width) => resizeContainer(client, Id, height, width))
      : undefined;
    using _signals = values['sig-proxy'] ? forwardSignals(context, Id) : undefined;
    const end = await runSession({
      connection,
      tty: Config.Tty,
      stdin,
      stdout: true,
      stderr: true,
      detachKeys: detachKeysOf(context, values),
    });
    if (end === 'detached') throw new ExitError(1, 'read escape sequence');
    return exitCodeOf(exit);
  },
});

/** A terminal inside needs one outside, if its input comes from here. */
export function checkTerminal(context: CommandContext, stdin: boolean, tty: boolean): void {
  if (stdin && tty && !context.io.stdinIsTerminal) throw new ExitError(1, 'the input device is not a TTY');
}

export function forwardSignals(context: CommandContext, container: string): Disposable {
  return proxySignals(
    (signal) => killContainer(context.client(), container, signal),
    (message) => {
      context.io.err(`${message}\n`);
      process.exit(1);
    },
  );
}
