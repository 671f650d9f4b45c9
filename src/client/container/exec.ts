/** `exec`. */
import { createExec, inspectExec, resizeExec, startExecAttached, startExecDetached } from '#api/client/execs.ts';
import { defineCommand, ExitError } from '../command.ts';
import { detachKeysFlag, detachKeysOf } from '../common-flags.ts';
import { flag, list, text } from '../flags/flag-spec.ts';
import { followTerminalSize, terminalSize } from '../terminal/resize.ts';
import { runSession } from '../terminal/session.ts';
import { checkTerminal } from './attach.ts';
import { checkVariable, readVariables } from './variables.ts';

export const exec = defineCommand({
  operands: 'CONTAINER COMMAND [ARG...]',
  count: [2, Infinity],
  interspersed: false,
  flags: {
    detach: flag('Detached mode: run command in the background', { shorthand: 'd' }),
    'detach-keys': detachKeysFlag(),
    env: list('Set environment variables', { shorthand: 'e', check: checkVariable }),
    'env-file': list('Read in a file of environment variables'),
    interactive: flag('Keep STDIN open even if not attached', { shorthand: 'i' }),
    privileged: flag('Give extended privileges to the command'),
    tty: flag('Allocate a pseudo-TTY', { shorthand: 't' }),
    user: text('Username or UID (format: "<name|uid>[:<group|gid>]")', { shorthand: 'u' }),
    workdir: text('Working directory inside the container', { shorthand: 'w' }),
  },
  examples: ['berth exec -it web sh', 'berth exec -e DEBUG=1 web ./check'],
  async run(context, { values, positionals: [container = '', ...command] }) {
    const client = context.client();
    const { detach, tty } = values;
    if (!detach) checkTerminal(context, values.interactive, tty);
    const stdin = values.interactive && !detach;
    const size = tty ? terminalSize() : undefined;
    const ConsoleSize: [number, number] | null = size === undefined ? null : [...size];
    const { Id } = await createExec(client, container, {
      User: values.user,
      Privileged: values.privileged,
      Tty: tty,
      ConsoleSize,
      AttachStdin: stdin,
      AttachStdout: !detach,
      AttachStderr: !detach,
      DetachKeys: detachKeysOf(context, values),
      Env: readVariables(values['env-file'], values.env, context.environment),
      WorkingDir: values.workdir,
      Cmd: command,
    });
    if (Id === '') throw new ExitError(1, 'exec ID empty');
    if (detach) {
      await startExecDetached(client, Id, { Detach: true, Tty: tty, ConsoleSize });
      return 0;
    }
    using connection = await startExecAttached(client, Id, { Detach: false, Tty: tty, ConsoleSize });
    using _size = tty ? followTerminalSize((height, width) => resizeExec(client, Id, height, width)) : undefined;
    const detachKeys = detachKeysOf(context, values);
    const end = await runSession({ connection, tty, stdin, stdout: true, stderr: true, detachKeys });
    if (end === 'detached') throw new ExitError(1, 'read escape sequence');
    return (await inspectExec(client, Id)).ExitCode ?? 0;
  },
});
