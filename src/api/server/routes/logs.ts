/** Berth's own: searching the logs of all containers, of those that are gone too. */
import { logsSearch } from '#api/jobs/container.ts';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import type { ResponseStream } from '../response-stream.ts';
import { type Route, type RouteContext, route } from '../route.ts';

/** Lines of JSON; a failure in the middle is a line with `error`. */
async function search(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const pattern = query.text('grep');
  if (pattern === '') throw invalidParameter('"grep" needs a pattern');
  let stream: ResponseStream | undefined;
  try {
    await ctx.run(logsSearch, {
      containers: query.all('container'),
      pattern,
      since: query.timestamp('since') ?? 0n,
      until: query.timestamp('until') ?? 0n,
      open: () => {
        stream = ctx.exchange.stream(200, 'application/x-ndjson');
        return stream;
      },
    });
  } catch (error) {
    if (stream === undefined || !stream.started) throw error;
    if (!stream.closed.aborted) {
      log.warn('a search broke off', { err: error });
      await stream.write(Buffer.from(`${JSON.stringify({ error: messageOf(error) })}\n`));
    }
  }
  if (stream === undefined) throw new Error('logs.search ended without opening its output');
  stream.finish();
}

export const logRoutes: readonly Route[] = [route('GET', '/berth/logs', 24, 'search the logs of containers', search)];
