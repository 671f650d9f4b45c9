/**
 * exec start: launches the process in the running container and connects its client. What is wrong with the request is
 * an error of the request; a command that cannot be started is told in the stream, for the client has been promised one
 * (its exit code is then read by inspect: 126 or 127).
 */
import type { ExecStartInput } from '#api/jobs/container.ts';
import type { Connection } from '#api/jobs/streams.ts';
import type { RunningProcess, StartFailure } from '#execdriver/driver.ts';
import type { ContainerRecord } from '#container/record.ts';
import { can } from '#container/state.ts';
import { BerthError, conflict, invalidParameter, messageOf, notFound } from '#errdefs/errors.ts';
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from '#pkg/detach-keys/detach-keys.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { frame } from '#pkg/stdcopy/stdcopy.ts';
import type { ProcessOutput } from '#stdio/pump.ts';
import { RunOutput } from '../container/console.ts';
import type { LiveContainer } from '../container/live.ts';
import { commandText, publishContainerEvent } from '../container/event.ts';
import { serveSession } from '../container/session.ts';
import { type Stdin, stdinOf } from '../container/stdin.ts';
import type { Services } from '../services.ts';
import type { ExecRecord } from './execs.ts';
import { execSpecOf } from './spec.ts';

export async function startExec(services: Services, input: ExecStartInput, signal: AbortSignal): Promise<void> {
  const record = services.execs.get(input.exec);
  const { connection } = input;
  if (connection === undefined && !input.request.Detach) throw invalidParameter('exec start needs a connection');
  const target = targetOf(services, record);
  // As dockerd: whether output comes in frames is what the start says, whatever the exec was created with.
  const { Tty: raw } = input.request;
  const spent = spentOf(record);
  if (spent !== undefined) {
    if (connection === undefined) throw conflict(spent);
    // As dockerd: the answer has begun, so it is told in the stream. Compose starts what it is attached to once more.
    connection.accept(raw);
    await tell(connection, raw, `${spent}\r\n`);
    connection.end();
    return;
  }
  // Before the launch: the client reads the head meanwhile.
  connection?.accept(raw);
  const launched = await launchExec(services, record, target, input, signal);
  if (connection === undefined) {
    if (!launched.ok) throw launched.error;
    adoptExec(services, record, launched.process);
    return;
  }
  const { Tty: tty } = record.request;
  if (!launched.ok) {
    await tell(connection, raw, `${messageOf(launched.error)}\r\n`);
    connection.end();
    return;
  }
  const { AttachStdin: stdin, AttachStdout: stdout, AttachStderr: stderr, DetachKeys: keys } = record.request;
  // Reading begins when the client is attached: what the process has written waits in its pipe.
  const { promise: attaching, resolve: expect } = Promise.withResolvers<unknown>();
  const adopted = adoptExec(services, record, launched.process, {
    attaching: stdout || stderr ? [attaching] : [],
    raw,
  });
  const result = await serveSession({
    pump: services.pump,
    connection,
    output: adopted.output,
    expect,
    input: Promise.resolve(adopted.stdin),
    over: adopted.over,
    // The code must be there when the client sees the end and asks for it.
    endsWith: adopted.over,
    stdin,
    stdout,
    stderr,
    // Only a terminal has keys that detach.
    detachKeys: tty ? (keys === '' ? DEFAULT_DETACH_KEYS : parseDetachKeys(keys, 'escape')) : undefined,
    closeStdinAtEnd: !tty,
    signal,
  });
  if (result === 'detached') {
    const container = services.containers.get(record.containerId);
    if (container !== undefined) {
      publishContainerEvent(services.events, container, 'exec_detach', { execID: record.id });
    }
  }
}

async function tell(connection: Connection, tty: boolean, text: string): Promise<void> {
  const bytes = Buffer.from(text);
  await connection.write(tty ? bytes : frame(1, bytes));
}

type Launched =
  | { readonly ok: true; readonly process: RunningProcess }
  | { readonly ok: false; readonly error: unknown };

interface Target {
  readonly container: ContainerRecord;
  readonly live: LiveContainer;
}

/** Why it cannot be started any more. */
function spentOf({ id, status }: ExecRecord): string | undefined {
  if (status === 'running') return `exec command ${id} is already running`;
  return status === 'ended' ? `exec command ${id} has already run` : undefined;
}

/** Errors: conflict when its container does not run. */
function targetOf(services: Services, exec: ExecRecord): Target {
  const container = services.containers.get(exec.containerId);
  const live = services.live.get(exec.containerId);
  if (container?.state.status === 'paused' || live?.pausing === true) {
    throw conflict(`Container ${exec.containerId} is paused, unpause the container before exec`);
  }
  if (container === undefined || live === undefined || !can(container.state, 'exec')) {
    // As dockerd, where they are forgotten when their container ends.
    throw notFound(`No such exec instance: ${exec.id}`);
  }
  return { container, live };
}

async function launchExec(
  services: Services,
  exec: ExecRecord,
  { container, live }: Target,
  input: ExecStartInput,
  signal: AbortSignal,
): Promise<Launched> {
  const { request } = exec;
  // Intent first: a second start is refused from here on, and a crash leaves an exec that is not `created`.
  services.execs.save({ ...exec, status: 'running' });
  const consoleSize = input.request.ConsoleSize ?? request.ConsoleSize;
  const { promise: launched, resolve: settled } = Promise.withResolvers<void>();
  live.launches.add(launched);
  const action = `exec_start: ${commandText(request.Cmd ?? [])}`;
  publishContainerEvent(services.events, container, action, { execID: exec.id });
  try {
    await services.turns.take();
    const process = await live.driver.exec({
      id: exec.id,
      containerId: container.id,
      container: live.process,
      spec: execSpecOf(services, container, request, consoleSize),
      stdio: {
        stdin: request.AttachStdin,
        stdout: true,
        stderr: !request.Tty,
        tty: request.Tty,
        ...(request.Tty && consoleSize !== null ? { consoleSize } : {}),
      },
      signal,
    });
    failpoint('exec.launched');
    return { ok: true, process };
  } catch (error) {
    services.execs.save({ ...exec, status: 'ended', exitCode: exitCodeOf(error) });
    return { ok: false, error };
  } finally {
    settled();
    live.launches.delete(launched);
  }
}

function exitCodeOf(error: unknown): number {
  // as: drivers add StartFailure to the errors they throw.
  const code = error instanceof BerthError ? (error as BerthError & Partial<StartFailure>).exitCode : undefined;
  return code ?? 126;
}

/** Takes a started (or, after a restart of the daemon, found) exec into the daemon's care. */
export function adoptExec(
  services: Services,
  exec: ExecRecord,
  process: RunningProcess,
  {
    attaching = [],
    raw = process.stdio.tty,
  }: { readonly attaching?: readonly Promise<unknown>[]; readonly raw?: boolean } = {},
): { output: ProcessOutput; stdin: Stdin | undefined; over: Promise<void> } {
  const { id } = exec;
  const running: ExecRecord = { ...exec, status: 'running', pid: process.pid };
  services.execs.save(running);
  services.execs.setProcess(id, process);
  const output = services.pump.open(id, { tty: raw, log: undefined });
  const run = new RunOutput(output, process, attaching);
  const stdin = stdinOf(process);
  const { promise: over, resolve } = Promise.withResolvers<void>();
  services.tasks.spawn(
    'exec-exit',
    async (signal) => {
      const exit = await services.tasks.unlessStopped(process.exited, signal);
      if (exit === undefined) return;
      try {
        // Recorded before the client can see the end of the stream and ask for the code.
        if (services.execs.find(id) !== undefined) {
          services.execs.save({ ...running, status: 'ended', exitCode: exit.exitCode });
        }
        services.execs.setProcess(id, undefined);
        await run.drain();
        await finishExec(services, exec, exit.exitCode);
      } finally {
        stdin?.close();
        output.close();
        resolve();
      }
    },
    { exec: id },
  );
  return { output, stdin, over };
}

async function finishExec(services: Services, exec: ExecRecord, exitCode: number): Promise<void> {
  const container = services.containers.get(exec.containerId);
  if (container !== undefined) {
    publishContainerEvent(services.events, container, 'exec_die', { execID: exec.id, exitCode: String(exitCode) });
  }
  const runtime = container?.hostConfig.Runtime ?? services.settings.defaultRuntime;
  await services.execDrivers.get(runtime)?.release(exec.id);
}
