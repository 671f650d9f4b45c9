/**
 * `run`: create, attach, wait, start, in this order, so that neither a byte of output nor the exit is missed. With
 * `--rm` it ends when the daemon has removed the container, so that its name is free.
 */
import {
  attachContainer,
  type CreateBody,
  resizeContainer,
  startContainer,
  waitContainer,
} from '#api/client/containers.ts';
import { type CommandContext, defineCommand, ExitError } from '../command.ts';
import type { ParsedFlags } from '../flags/parse-flags.ts';
import { followTerminalSize, terminalSize } from '../terminal/resize.ts';
import { detachKeysOf } from '../common-flags.ts';
import { runSession, type SessionEnd } from '../terminal/session.ts';
import { checkTerminal, forwardSignals } from './attach.ts';
import { bodyOf, makeContainer } from './create.ts';
import { exitCodeOf, exitCodeOfStartFailure, runFailure } from './exit-status.ts';
import { RUN_FLAGS } from './run-flags.ts';

type Input = ParsedFlags<typeof RUN_FLAGS>;

export const run = defineCommand({
  operands: 'IMAGE [COMMAND] [ARG...]',
  count: [1, Infinity],
  interspersed: false,
  flags: RUN_FLAGS,
  examples: [
    'berth run --rm -it base sh',
    'berth run -d --name web --memory 64m base httpd -f',
    'berth run --rm --network none --read-only --cap-drop ALL base id',
  ],
  async run(context, input) {
    const body = prepare(context, input);
    let id: string;
    try {
      ({ Id: id } = await makeContainer(context, input.values, body));
    } catch (error) {
      throw runFailure(error, context.path, exitCodeOfStartFailure(error));
    }
    if (!input.values.detach) return runAttached(context, input, body, id);
    try {
      await startContainer(context.client(), id);
    } catch (error) {
      throw runFailure(error, context.path, exitCodeOfStartFailure(error));
    }
    context.io.out(`${id}\n`);
    return 0;
  },
});

function prepare(context: CommandContext, input: Input): CreateBody {
  const { values } = input;
  let body: CreateBody;
  try {
    body = bodyOf(context, input);
  } catch (error) {
    throw runFailure(error, context.path);
  }
  if (values.detach) {
    if (values.attach.length > 0)
      throw new ExitError(1, 'conflicting options: cannot specify both --attach and --detach');
    return { ...body, AttachStdin: false, AttachStdout: false, AttachStderr: false, StdinOnce: false };
  }
  checkTerminal(context, body.AttachStdin === true, values.tty);
  const size = terminalSizeOf(values.tty);
  return size === undefined ? body : { ...body, HostConfig: { ...body.HostConfig, ConsoleSize: size } };
}

/** Asking for it loads the runtime's terminal modules: only when it matters. */
function terminalSizeOf(tty: boolean): [number, number] | undefined {
  const size = tty ? terminalSize() : undefined;
  return size === undefined ? undefined : [...size];
}

async function runAttached(context: CommandContext, input: Input, body: CreateBody, id: string): Promise<number> {
  const { values } = input;
  const client = context.client();
  const streams = {
    stdin: body.AttachStdin === true,
    stdout: body.AttachStdout === true,
    stderr: body.AttachStderr === true,
  };
  const { tty } = values;
  const detachKeys = detachKeysOf(context, values);
  using _signals = values['sig-proxy'] ? forwardSignals(context, id) : undefined;
  let session: Promise<SessionEnd>;
  let exit: ReturnType<typeof exitCodeOf>;
  // Both stand before the start; in which order does not matter.
  const waiting = waitContainer(client, id, values.rm ? 'removed' : 'next-exit');
  waiting.catch(() => undefined);
  using connection = await attachOrFail(context, id, { ...streams, detachKeys });
  try {
    session = runSession({ connection, tty, ...streams, detachKeys });
    session.catch(() => undefined);
    exit = exitCodeOf((await waiting).exit);
    exit.catch(() => undefined);
    await startContainer(client, id, detachKeys);
  } catch (error) {
    throw runFailure(error, context.path, exitCodeOfStartFailure(error));
  }
  using _size = tty ? followTerminalSize((height, width) => resizeContainer(client, id, height, width)) : undefined;
  return (await session) === 'detached' ? 0 : exit;
}

async function attachOrFail(context: CommandContext, id: string, options: Parameters<typeof attachContainer>[2]) {
  try {
    return await attachContainer(context.client(), id, options);
  } catch (error) {
    throw runFailure(error, context.path);
  }
}
