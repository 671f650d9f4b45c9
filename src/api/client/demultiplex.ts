/**
 * The frames of attach, exec and logs without a terminal: one byte of stream (1 stdout, 2 stderr, 3 a failure of the
 * daemon), three zeros, a big-endian length, the bytes. Chunks are handed on as they come, without copying or waiting
 * for a frame's end.
 */
import { systemError } from '#errdefs/errors.ts';

export interface DemultiplexedOutput {
  stdout(bytes: Uint8Array): Promise<void> | void;
  stderr(bytes: Uint8Array): Promise<void> | void;
}

const HEADER_BYTES = 8;

export async function demultiplex(input: AsyncIterable<Uint8Array>, output: DemultiplexedOutput): Promise<void> {
  const header = new Uint8Array(HEADER_BYTES);
  let headerBytes = 0;
  let left = 0;
  let failure = '';
  for await (const chunk of input) {
    for (let at = 0; at < chunk.length; ) {
      if (left === 0) {
        const take = Math.min(HEADER_BYTES - headerBytes, chunk.length - at);
        header.set(chunk.subarray(at, at + take), headerBytes);
        headerBytes += take;
        at += take;
        if (headerBytes < HEADER_BYTES) continue;
        headerBytes = 0;
        left = new DataView(header.buffer).getUint32(4);
        continue;
      }
      const bytes = chunk.subarray(at, at + left);
      at += bytes.length;
      left -= bytes.length;
      const stream = header[0];
      if (stream === 2) await output.stderr(bytes);
      else if (stream === 3) failure += new TextDecoder().decode(bytes);
      else if (stream === 0 || stream === 1) await output.stdout(bytes);
      else throw systemError(`Unrecognized input header: ${stream}`);
    }
  }
  if (failure !== '') throw systemError(`error from daemon in stream: ${failure}`);
}
