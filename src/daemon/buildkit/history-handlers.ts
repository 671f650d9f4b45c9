/** BuildKit's history of builds over the control API: `buildx history`. */
import * as methods from '#builder/buildkit/history-methods.ts';
import type { StatusMessage } from '#builder/buildkit/trace.ts';
import { notImplemented } from '#errdefs/errors.ts';
import { type Handler, streaming, unary } from '#pkg/grpc/server.ts';
import { statusOf as statusOfError } from '#pkg/grpc/status.ts';
import type { BuildRecord, History, HistoryEvent } from './history.ts';
import type { Solve, Solves } from './solves.ts';

export function historyHandlers(history: History, solves: Solves): readonly Handler[] {
  return [
    streaming(methods.listenBuildHistory, async ({ requests, send, signal }) => {
      for await (const request of requests()) {
        const wanted = wantedOf(request);
        const events: HistoryEvent[] = [];
        let wake = Promise.withResolvers<void>();
        using _listening = history.listen((event) => {
          events.push(event);
          wake.resolve();
        });
        const active = solves.active().map((solve) => ({ type: methods.eventTypes.started, record: recordOf(solve) }));
        const past = request.activeOnly
          ? []
          : history.list().map((record) => ({ type: methods.eventTypes.complete, record }));
        const first = [...active, ...past].filter(({ record }) => wanted(record));
        const newest = first.sort((a, b) => timeOf(b.record) - timeOf(a.record));
        for (const event of request.limit > 0 ? newest.slice(0, request.limit) : newest) await send(event);
        if (request.earlyExit) return;
        const stop = () => wake.resolve();
        signal.addEventListener('abort', stop);
        while (!signal.aborted) {
          await wake.promise;
          wake = Promise.withResolvers<void>();
          for (const event of events.splice(0)) if (wanted(event.record)) await send(event);
        }
        return;
      }
    }),
    unary(methods.updateBuildHistory, async ({ ref, pinned, delete: gone, finalize }) => {
      if (gone) history.remove(ref);
      // A record is whole from the beginning.
      else if (!finalize) history.pin(ref, pinned);
      return {};
    }),
  ];
}

const timeOf = ({ createdAt }: BuildRecord): number =>
  createdAt === undefined ? 0 : Number(createdAt.seconds) * 1000 + createdAt.nanos / 1_000_000;

/** Errors: not-implemented naming the filter. */
function wantedOf({ ref, filter }: { readonly ref: string; readonly filter: readonly string[] }) {
  // Each entry is a list of conditions that all hold; of several entries one is enough.
  const groups = filter.map((entry) => entry.split(',').map(conditionOf));
  return (record: BuildRecord): boolean =>
    (ref === '' || record.ref === ref) &&
    (groups.length === 0 || groups.some((conditions) => conditions.every((holds) => holds(record))));
}

function conditionOf(text: string): (record: BuildRecord) => boolean {
  const match = /^(ref|status)(==?|!=|~=)(.*)$/.exec(text.trim());
  if (match === null) throw notImplemented(`the history filter ${JSON.stringify(text)} is not there`);
  const [, field, operator, raw = ''] = match;
  const value = raw.replace(/^"(.*)"$/, '$1');
  const test = operator === '~=' ? new RegExp(value) : undefined;
  return (record) => {
    const found = field === 'ref' ? record.ref : statusOf(record);
    if (test !== undefined) return test.test(found);
    return (found === value) !== (operator === '!=');
  };
}

function statusOf({ completedAt, error }: BuildRecord): string {
  if (completedAt === undefined) return 'running';
  if (error === undefined) return 'completed';
  return error.code === 1 ? 'canceled' : 'error';
}

/** As far as the build has got. */
export function recordOf(solve: Solve): BuildRecord {
  const { request, response, outcomeError, beganAt, endedAt } = solve;
  const error = outcomeError === undefined ? undefined : statusOfError(outcomeError);
  return {
    ref: request.ref,
    frontend: request.frontend,
    frontendAttrs: request.frontendAttrs,
    exporters: request.exporters,
    error: error === undefined ? undefined : { ...error, details: error.details ?? [] },
    createdAt: wireTime(beganAt),
    completedAt: endedAt === undefined ? undefined : wireTime(endedAt),
    exporterResponse: outcomeError === undefined ? response : new Map(),
    generation: 1,
    pinned: false,
    ...stepsOf(solve.told()),
  };
}

const wireTime = (date: Date) => ({
  seconds: BigInt(Math.floor(date.getTime() / 1000)),
  nanos: (date.getTime() % 1000) * 1_000_000,
});

function stepsOf(messages: readonly StatusMessage[]) {
  const vertexes = new Map<string, { readonly cached: boolean; readonly completed: boolean }>();
  let warnings = 0;
  for (const message of messages) {
    warnings += message.warnings?.length ?? 0;
    for (const { digest, cached, completed } of message.vertexes ?? [])
      vertexes.set(digest, { cached, completed: completed !== undefined });
  }
  const all = [...vertexes.values()];
  return {
    cachedSteps: all.filter(({ cached }) => cached).length,
    totalSteps: all.length,
    completedSteps: all.filter(({ completed }) => completed).length,
    warnings,
  };
}
