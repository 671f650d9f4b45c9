/** `GET /containers/{id}/attach/ws`. */
import { containerAttach } from '#api/jobs/container.ts';
import { log } from '#pkg/log/log.ts';
import type { RouteContext } from '../route.ts';
import { acceptWebSocket, WebSocketConnection } from '../websocket.ts';

const BINARY_SINCE = 28;

export async function attachWebSocket(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const answer = acceptWebSocket(ctx.exchange.head);
  const stdin = query.flag('stdin');
  const raw = ctx.exchange.hijack({ head: () => answer });
  const connection = new WebSocketConnection(raw, { text: ctx.minor < BINARY_SINCE, wantsInput: stdin });
  try {
    await ctx.run(containerAttach, {
      container: ctx.param('id'),
      stream: query.flag('stream'),
      logs: query.flag('logs'),
      stdin,
      stdout: query.flag('stdout'),
      stderr: query.flag('stderr'),
      detachKeys: query.text('detachKeys'),
      connection,
    });
  } catch (error) {
    if (!raw.accepted) throw error;
    if (!connection.closed.aborted)
      log.warn('attached WebSocket broke off', { path: ctx.exchange.head.path, err: error });
  }
  connection.finish();
}
