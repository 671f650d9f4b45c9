/** attach: to a running container, or to one that is not started yet and then waits for its start. */
import type { AttachInput } from '#api/jobs/container.ts';
import type { ContainerRecord } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { conflict } from '#errdefs/errors.ts';
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from '#pkg/detach-keys/detach-keys.ts';
import type { Services } from '../services.ts';
import { publishContainerEvent } from './event.ts';
import { readableLog } from './logs.ts';
import { serveSession } from './session.ts';

/** Errors: conflict for a paused or restarting container. */
export async function attachContainer(services: Services, input: AttachInput, signal: AbortSignal): Promise<void> {
  const record = services.containers.resolve(input.container);
  const keys = input.detachKeys === '' ? DEFAULT_DETACH_KEYS : parseDetachKeys(input.detachKeys);
  const { status } = record.state;
  if (status === 'paused') {
    throw conflict(`container ${input.container} is paused, unpause the container before attach`);
  }
  if (status === 'restarting') {
    throw conflict(`container ${input.container} is restarting, wait until the container is running`);
  }
  const { connection } = input;
  const { Tty: tty, OpenStdin: openStdin, StdinOnce: stdinOnce } = record.config;
  connection.accept(tty);
  const console = services.consoles.of(record);
  if (!input.stream) {
    if (input.logs) await replayOnly(services, record, input);
    connection.end();
    return;
  }
  publishContainerEvent(services.events, record, 'attach');
  const result = await serveSession({
    pump: services.pump,
    connection,
    output: console.output,
    expect: (attaching) => console.expect(attaching),
    input: console.stdin,
    over: console.over,
    // Whoever inspects at the end of the stream finds the container ended, and its exit code.
    endsWith: console.over,
    stdin: input.stdin && openStdin,
    stdout: input.stdout,
    stderr: input.stderr,
    // Piped input may hold any bytes.
    detachKeys: tty ? keys : undefined,
    closeStdinAtEnd: stdinOnce && !tty,
    signal,
    ...(input.logs ? { replay: { reader: services.logReader, log: readableLog(services, record), tty } } : {}),
  });
  const now = services.containers.get(record.id);
  if (result === 'detached' && now !== undefined && isRunning(now.state)) {
    publishContainerEvent(services.events, now, 'detach');
  }
}

/** `logs=1&stream=0`: what was logged, and no more. */
async function replayOnly(services: Services, record: ContainerRecord, input: AttachInput): Promise<void> {
  const { connection, stdout, stderr } = input;
  const log = readableLog(services, record);
  await services.logReader.read(
    {
      log,
      stdout,
      stderr,
      timestamps: false,
      details: false,
      frames: record.config.Tty ? 'none' : 'line',
      sinceNs: 0n,
      untilNs: 0n,
      tail: -1,
      follow: undefined,
      upTo: undefined,
      signal: connection.closed,
    },
    connection,
  );
}
