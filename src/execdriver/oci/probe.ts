/** A health probe of a container that another runtime keeps: an exec whose output is read here, up to its limit. */
import { messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { close } from '#sys/files.ts';
import type { ExecDriver, ProbeEnd, ProbeRequest, RunningProbe, RunningProcess } from '../driver.ts';

const SIGKILL = 9;
/** For the output to end after the process has. */
const FOLLOW_LIMIT_MS = 200;

export async function probeByExec(
  driver: Pick<ExecDriver, 'exec' | 'release'>,
  request: ProbeRequest,
): Promise<RunningProbe> {
  const process = await driver.exec({
    id: request.id,
    containerId: request.container.id,
    container: request.container,
    spec: request.spec(),
    stdio: { stdin: false, stdout: true, stderr: true, tty: false },
    signal: new AbortController().signal,
  });
  const output = new Output(request.outputBytesMax);
  const { stdout, stderr } = process.stdio;
  const streams = [stdout, stderr].map((fd) => (fd === undefined ? Promise.resolve() : output.read(fd)));
  return {
    ended: ended(driver, process, output, Promise.all(streams)),
    drain: () => undefined,
    kill: () => {
      process.signal(SIGKILL).catch((error: unknown) => {
        log.debug('a probe had ended', { probe: process.id, err: messageOf(error) });
      });
    },
  };
}

async function ended(
  driver: Pick<ExecDriver, 'release'>,
  process: RunningProcess,
  output: Output,
  read: Promise<unknown>,
): Promise<ProbeEnd> {
  const { exitCode } = await process.exited;
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, FOLLOW_LIMIT_MS);
  await Promise.race([read, late]);
  clearTimeout(timer);
  output.stop();
  await driver.release(process.id);
  return { exitCode, output: output.bytes, more: output.length > output.bytes.length };
}

class Output {
  readonly #max: number;
  readonly #chunks: Uint8Array[] = [];
  readonly #enough = Promise.withResolvers<undefined>();
  length = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get bytes(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  /** Reads to the end, or until `stop`; the descriptor is ours. */
  async read(fd: number): Promise<void> {
    const reader = Bun.file(fd).stream().getReader();
    try {
      for (;;) {
        const next = await Promise.race([reader.read(), this.#enough.promise]);
        if (next?.value === undefined) break;
        if (this.length < this.#max) this.#chunks.push(next.value.slice(0, this.#max - this.length));
        this.length += next.value.length;
      }
      await reader.cancel();
    } catch (error) {
      log.debug('the output of a probe cannot be read', { err: error });
    }
    close(fd);
  }

  stop(): void {
    this.#enough.resolve(undefined);
  }
}
