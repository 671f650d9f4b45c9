/** Output of attach, exec and logs without a terminal, taken apart, with the reader no faster than the writers. */
import { systemError } from '#errdefs/errors.ts';
import { ordinaryJit } from '#pkg/jit/jit.ts';
import { Demultiplexer } from '#pkg/stdcopy/stdcopy.ts';

export interface DemultiplexedOutput {
  stdout(bytes: Uint8Array): Promise<void> | void;
  stderr(bytes: Uint8Array): Promise<void> | void;
}

/** Chunks after which a stream is worth compiled code. */
const MUCH = 64;

/** Neighbouring frames of one stream. */
interface Run {
  readonly stream: number;
  readonly chunks: Uint8Array[];
}

export async function demultiplex(input: AsyncIterable<Uint8Array>, output: DemultiplexedOutput): Promise<void> {
  let runs: Run[] = [];
  let failure = '';
  const frames = new Demultiplexer((stream, bytes) => {
    if (stream === 3) failure += new TextDecoder().decode(bytes);
    else if (runs.at(-1)?.stream === stream) runs.at(-1)?.chunks.push(bytes);
    else runs.push({ stream, chunks: [bytes] });
  });
  let count = 0;
  for await (const chunk of input) {
    if (++count === MUCH) ordinaryJit();
    frames.push(chunk);
    // One after the other: stdout and stderr may be the same terminal or file.
    for (const run of runs) await written(run, output);
    runs = [];
  }
  if (failure !== '') throw systemError(`error from daemon in stream: ${failure}`);
}

async function written({ stream, chunks }: Run, output: DemultiplexedOutput): Promise<void> {
  const write = (bytes: Uint8Array) => Promise.resolve(stream === 2 ? output.stderr(bytes) : output.stdout(bytes));
  await Promise.all(chunks.map(write));
}
