/**
 * One client connected to one process: output by the pump, input by stdio's copier. It ends when the client has got all,
 * has gone, types the detach keys, or the daemon lets go of it.
 */
import type { Connection } from '#api/jobs/streams.ts';
import { copyInput } from '#stdio/input.ts';
import type { LogReader } from '#logger/read.ts';
import type { LogTarget } from '#logger/log-target.ts';
import type { Attachment, ProcessOutput, Pump } from '#stdio/pump.ts';
import { attachWithLogs } from '#stdio/replay.ts';
import type { Stdin } from './stdin.ts';

export interface SessionInput {
  readonly pump: Pump;
  /** Accepted. */
  readonly connection: Connection;
  readonly output: ProcessOutput;
  /** Called before the client is attached: nothing may be read until this has settled. */
  readonly expect: (attaching: Promise<unknown>) => void;
  /** undefined: there will be none. */
  readonly input: Promise<Stdin | undefined>;
  /** The process has ended and its output is through. */
  readonly over: Promise<void>;
  /** The client sees the end of the stream only after this. */
  readonly endsWith: Promise<void> | undefined;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** undefined: none. */
  readonly detachKeys: Uint8Array | undefined;
  /** The end of the client's input is the end of the process's. */
  readonly closeStdinAtEnd: boolean;
  readonly signal: AbortSignal;
  /** First what was logged so far. */
  readonly replay?: { readonly reader: LogReader; readonly log: LogTarget; readonly tty: boolean };
}

export async function serveSession(input: SessionInput): Promise<'ended' | 'detached'> {
  const { connection } = input;
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, input.signal, connection.closed]);
  const attaching = input.stdout || input.stderr ? attachOutput(input) : undefined;
  if (attaching !== undefined) input.expect(attaching);
  const attachment = await attaching;
  const letGo = (): void => attachment?.detach();
  input.signal.addEventListener('abort', letGo, { once: true });
  if (input.signal.aborted) letGo();
  const typed = input.stdin ? passInput(input, signal) : Promise.resolve('end' as const);
  const detached = typed.then((how) => {
    if (how === 'detached') letGo();
    return how === 'detached';
  });
  // Whoever wants no output stays for the input, or until the process is over.
  const done =
    attachment === undefined ? Promise.race([input.stdin ? typed : input.over, input.over]) : attachment.done;
  await done;
  if (input.endsWith !== undefined) await Promise.race([input.endsWith, detachedOrGone(detached, signal)]);
  stop.abort();
  input.signal.removeEventListener('abort', letGo);
  connection.end();
  return (await detached) ? 'detached' : 'ended';
}

function attachOutput(input: SessionInput): Promise<Attachment> {
  const { connection, output, stdout, stderr, replay } = input;
  if (replay === undefined) return output.attach({ connection, stdout, stderr });
  return attachWithLogs({ connection, output, stdout, stderr, ...replay, mergeFrames: false });
}

/** Settles when the client is no longer served although the process goes on. */
async function detachedOrGone(detached: Promise<boolean>, signal: AbortSignal): Promise<void> {
  const typedKeys = detached.then((yes) => (yes ? undefined : aborted(signal)));
  await Promise.race([typedKeys, aborted(signal)]);
}

async function passInput(input: SessionInput, signal: AbortSignal): Promise<'end' | 'detached'> {
  const stdin = await Promise.race([input.input, input.over.then(() => undefined), aborted(signal)]);
  if (stdin === undefined || stdin.closed.aborted) return 'end';
  const how = await copyInput({
    source: input.connection.input,
    fd: stdin.fd,
    detachKeys: input.detachKeys,
    whenWritable: (fd) => input.pump.whenWritable(fd),
    signal: AbortSignal.any([signal, stdin.closed]),
  });
  if (how === 'detached') return 'detached';
  if (how === 'ended' && input.closeStdinAtEnd && !signal.aborted) await stdin.end();
  return 'end';
}

async function aborted(signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return undefined;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  signal.addEventListener('abort', () => resolve(undefined), { once: true });
  return promise;
}
