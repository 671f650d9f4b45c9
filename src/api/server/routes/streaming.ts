/** What hijacking and streaming routes share. */
import { messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import type { HijackedConnection } from '../hijacked-connection.ts';
import type { ResponseStream } from '../response-stream.ts';
import type { RouteContext } from '../route.ts';

const RAW_STREAM = 'application/vnd.docker.raw-stream';
const MULTIPLEXED_STREAM = 'application/vnd.docker.multiplexed-stream';

/** Before API 1.42 there was one name for both. */
export function mediaTypeOf(tty: boolean, minor: number): string {
  return tty || minor < 42 ? RAW_STREAM : MULTIPLEXED_STREAM;
}

function frame(stream: number, text: string): Buffer {
  const payload = Buffer.from(text);
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(payload.length, 4);
  return Buffer.concat([head, payload]);
}

/** A frame of the daemon's own stream: clients take its text for an error. */
export function systemErrorFrame(text: string): Buffer {
  return frame(3, text);
}

const HIJACK_BODY_MAX = 1024 * 1024;

/**
 * Runs a job over the hijacked connection. A body by length is not input (some SDKs send JSON with an attach). What
 * fails before the job accepted the connection is an error answer; after that it can only be told in the stream.
 */
export async function hijackJob(
  ctx: RouteContext,
  job: (connection: HijackedConnection) => Promise<void>,
  tellFailure = false,
): Promise<void> {
  if (ctx.exchange.head.framing.kind === 'length') await ctx.exchange.readBody(HIJACK_BODY_MAX);
  const connection = ctx.exchange.hijack({ contentTypeOf: (tty) => mediaTypeOf(tty, ctx.minor) });
  try {
    await job(connection);
    connection.accept(false);
  } catch (error) {
    if (!connection.accepted) throw error;
    if (!connection.closed.aborted) {
      log.warn('attached stream broke off', { path: ctx.exchange.head.path, err: error });
      const text = `${messageOf(error)}\r\n`;
      if (tellFailure) await connection.write(connection.tty ? Buffer.from(text) : frame(1, text));
    }
  }
  connection.finish();
}

/**
 * Runs a job that streams. What fails before the first byte is an error answer; after that `lastLine` may still tell
 * it in the stream, else the connection breaks, so that the client does not take the part for the whole.
 */
export async function streamJob(
  stream: ResponseStream,
  job: () => Promise<void>,
  lastLine?: (message: string) => string,
): Promise<void> {
  try {
    await job();
  } catch (error) {
    if (!stream.started) throw error;
    if (!stream.closed.aborted) log.warn('streamed answer broke off', { err: error });
    if (lastLine === undefined) {
      stream.breakOff();
      return;
    }
    await stream.write(Buffer.from(lastLine(messageOf(error))));
  }
  stream.finish();
}

/** The last line of a progress stream that failed. */
export function progressError(message: string): string {
  return `${JSON.stringify({ errorDetail: { message }, error: message })}\r\n`;
}
