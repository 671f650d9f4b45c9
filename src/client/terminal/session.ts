/**
 * A process's input and output on this program's stdin, stdout and stderr. Ends when the output ends or the detach keys
 * were typed; that the input ends only closes the process's input.
 */
import { demultiplex } from '#api/client/demultiplex.ts';
import type { HijackedConnection } from '#api/client/hijack.ts';
import { DetachMatcher, parseDetachKeys } from '#pkg/detach-keys/detach-keys.ts';
import { OutputPort } from './output-port.ts';
import { RawMode } from './raw-mode.ts';

export interface SessionOptions {
  readonly connection: HijackedConnection;
  /** The process has a terminal: output is raw, and stdin becomes raw when it is copied. */
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly detachKeys: string;
}

export type SessionEnd = 'ended' | 'detached';

export async function runSession(options: SessionOptions): Promise<SessionEnd> {
  const { connection, tty } = options;
  using stop = new Stop();
  using _mode = tty && options.stdin ? RawMode.enter({ passing: true }) : undefined;
  const output = copyOutput(options).then((): SessionEnd => 'ended');
  if (!options.stdin) return output;
  const keys = tty ? parseDetachKeys(options.detachKeys) : undefined;
  const input = copyInput(connection, keys, stop).then((detached): Promise<SessionEnd> | SessionEnd =>
    detached ? 'detached' : output,
  );
  const end = await Promise.race([output, input]);
  if (end === 'detached') connection[Symbol.dispose]();
  return end;
}

/** Ends the reading of stdin with the session. */
class Stop implements Disposable {
  #reader: { cancel(): Promise<void> } | undefined;

  watch(reader: { cancel(): Promise<void> }): void {
    this.#reader = reader;
  }

  [Symbol.dispose](): void {
    this.#reader?.cancel().catch(() => undefined);
  }
}

async function copyOutput(options: SessionOptions): Promise<void> {
  const stdout = new OutputPort(1);
  const stderr = new OutputPort(2);
  const input = options.connection.read();
  if (options.tty) {
    for await (const chunk of input) if (options.stdout) await stdout.write(chunk);
    return;
  }
  await demultiplex(input, {
    stdout: (bytes) => (options.stdout ? stdout.write(bytes) : undefined),
    stderr: (bytes) => (options.stderr ? stderr.write(bytes) : undefined),
  });
}

/** True when the detach keys ended it. */
async function copyInput(connection: HijackedConnection, keys: Uint8Array | undefined, stop: Stop): Promise<boolean> {
  const matcher = keys === undefined ? undefined : new DetachMatcher(keys);
  const reader = Bun.stdin.stream().getReader();
  stop.watch(reader);
  for (;;) {
    // as: the stream of a file yields bytes; its declared element type is wider.
    const { value } = (await reader.read()) as { value: Uint8Array | undefined };
    if (value === undefined) break;
    const { forward, detached } = matcher?.push(value) ?? { forward: value, detached: false };
    await connection.write(forward);
    if (detached) return true;
  }
  if (matcher !== undefined) await connection.write(matcher.flush());
  connection.closeWrite();
  return false;
}
