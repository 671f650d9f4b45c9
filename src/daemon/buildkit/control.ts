/**
 * BuildKit's control API on a connection that came in by POST /grpc: what buildx's docker driver asks for. A build is
 * begun by the frontend's Solve and ends the client's own.
 */
import type { Connection } from '#api/jobs/streams.ts';
import * as methods from '#builder/buildkit/control-methods.ts';
import { cancelled, invalidParameter } from '#errdefs/errors.ts';
import { type Handler, serve, streaming, unary } from '#pkg/grpc/server.ts';
import { Http2Connection } from '#pkg/http2/connection.ts';
import { valuesOf } from '#pkg/http2/stream.ts';
import { asStatus } from './failures.ts';
import { factHandlers } from './facts.ts';
import { historyHandlers, recordOf } from './history-handlers.ts';
import { type ControlParts, gatewayHandlers, requireNoGraph, runSolve } from './gateway.ts';
import { resultFileHandlers } from './result-files.ts';

/** Serves the connection until the client ends it or the signal does. */
export async function serveControl(parts: ControlParts, connection: Connection, signal: AbortSignal): Promise<void> {
  const bytes = {
    input: connection.input,
    write: (chunk: Uint8Array) => connection.write(chunk),
    end: () => connection.end(),
  };
  const http2 = new Http2Connection(bytes, serve(handlersOf(parts)));
  const close = () => http2.close();
  signal.addEventListener('abort', close);
  await http2.run();
  signal.removeEventListener('abort', close);
}

function handlersOf(parts: ControlParts): readonly Handler[] {
  const { history, solves, services } = parts;
  return [
    ...controlHandlers(parts),
    ...gatewayHandlers(parts),
    ...resultFileHandlers(solves),
    ...factHandlers(services),
    ...historyHandlers(history, solves),
  ];
}

function controlHandlers(parts: ControlParts): readonly Handler[] {
  const { solves, sessions, history } = parts;
  return [
    unary(methods.solve, async (request, { signal }) => {
      if (request.ref === '') throw invalidParameter('a build needs a ref');
      const solve = solves.begin(request, signal);
      if (!request.internal) history.began(recordOf(solve));
      try {
        // Without a frontend the client runs it, and asks by the bridge for what it needs.
        requireNoGraph(request.definition);
        if (request.frontend !== '') {
          const { frontend, frontendAttrs: options, frontendInputs: inputs } = request;
          await runSolve(parts, solve, { frontend, options, inputs }, signal);
          solve.finish();
        }
        return { exporterResponse: await untilAborted(solve.outcome, signal) };
      } catch (error) {
        const status = signal.aborted ? cancelled('context canceled', { cause: error }) : asStatus(error);
        solve.fail(status);
        throw status;
      } finally {
        solve.end();
        solves.forget(solve);
        await solve.held.disposeAsync();
        if (!request.internal) history.ended(recordOf(solve), solve.told());
      }
    }),
    streaming(methods.status, async ({ requests, send, signal }) => {
      for await (const { ref } of requests()) {
        const past = solves.has(ref) ? undefined : history.messages(ref);
        for (const message of past ?? []) await send(message);
        if (past !== undefined || solves.isOver(ref)) return;
        const solve = await solves.get(ref, signal);
        for await (const message of solve.messages()) await send(message);
        return;
      }
    }),
    streaming(methods.session, async (call) => {
      const header = (name: string) => call.metadata.get(`x-docker-expose-session-${name}`) ?? '';
      const open = sessions.open({
        id: header('uuid'),
        name: header('name'),
        sharedKey: header('sharedkey'),
        methods: valuesOf(call.metadata, 'x-docker-expose-session-grpc-method'),
      });
      const ended = new AbortController();
      const input = (async function* () {
        for await (const { data } of call.requests()) yield data;
      })();
      await open({ input, write: (data) => call.send({ data }), end: () => ended.abort() }, call.signal);
    }),
  ];
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const gone = Promise.withResolvers<never>();
  const abort = () => gone.reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([work, gone.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
