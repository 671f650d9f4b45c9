/** Output of attach, exec and logs without a terminal, taken apart, with the reader no faster than the writers. */
import { systemError } from '#errdefs/errors.ts';
import { Demultiplexer } from '#pkg/stdcopy/stdcopy.ts';

export interface DemultiplexedOutput {
  stdout(bytes: Uint8Array): Promise<void> | void;
  stderr(bytes: Uint8Array): Promise<void> | void;
}

export async function demultiplex(input: AsyncIterable<Uint8Array>, output: DemultiplexedOutput): Promise<void> {
  const pending: Promise<void>[] = [];
  let failure = '';
  const frames = new Demultiplexer((stream, bytes) => {
    if (stream === 3) failure += new TextDecoder().decode(bytes);
    else pending.push(Promise.resolve(stream === 2 ? output.stderr(bytes) : output.stdout(bytes)));
  });
  for await (const chunk of input) {
    frames.push(chunk);
    await Promise.all(pending);
    pending.length = 0;
  }
  if (failure !== '') throw systemError(`error from daemon in stream: ${failure}`);
}
