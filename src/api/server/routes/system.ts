/** Routes of the daemon itself, Berth's own among them. */
import { registryLogin } from '#api/jobs/image.ts';
import { systemEvents, systemInfo, systemShutdown, systemVersion } from '#api/jobs/system.ts';
import type { JobSummary } from '#api/types/job.ts';
import type { Commit, SystemInfo } from '#api/types/system.ts';
import type { Engine, JobRecord } from '#engine/engine.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { decodeFilters } from '#pkg/filters/filters.ts';
import { type Route, type RouteContext, route } from '../route.ts';
import { wideJson } from '../wide-json.ts';
import { streamJob } from './streaming.ts';

/** Which builder clients are to take that have not been told: the classic one or BuildKit. */
export type BuilderVersion = '1' | '2';

function pingWith(builderVersion: BuilderVersion) {
  const headers = {
    'Builder-Version': builderVersion,
    'Cache-Control': 'no-cache, no-store, must-revalidate',
    Pragma: 'no-cache',
    Swarm: 'inactive',
  };
  return ({ exchange }: RouteContext): void => {
    // dockerd says a length of 0 to HEAD.
    const body = exchange.head.method === 'HEAD' ? '' : 'OK';
    exchange.respond(200, 'text/plain; charset=utf-8', body, headers);
  };
}

/** Until API 1.49 clients compared what is there with what was expected. */
function withExpected(answer: SystemInfo): SystemInfo {
  const expected = (commit: Commit): Commit => ({ ...commit, Expected: commit.ID });
  return {
    ...answer,
    ContainerdCommit: expected(answer.ContainerdCommit),
    RuncCommit: expected(answer.RuncCommit),
    InitCommit: expected(answer.InitCommit),
  };
}

async function info(ctx: RouteContext): Promise<void> {
  const answer = await ctx.run(systemInfo, {});
  ctx.sendJson(200, ctx.minor < 50 ? withExpected(answer) : answer);
}

async function version(ctx: RouteContext): Promise<void> {
  ctx.sendJson(200, await ctx.run(systemVersion, {}));
}

async function events(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const since = query.timestamp('since');
  const until = query.timestamp('until');
  if (since !== undefined && until !== undefined && since > until) {
    throw invalidParameter(
      `\`since\` time (${query.text('since')}) cannot be after \`until\` time (${query.text('until')})`,
    );
  }
  const filters = decodeFilters(query.text('filters'));
  const stream = ctx.exchange.stream(200, 'application/json');
  await streamJob(stream, () =>
    ctx.run(systemEvents, {
      since,
      until,
      filters,
      accepted: () => stream.flush(),
      emit: (messages) => stream.write(Buffer.from(messages.map((m) => `${wideJson(m)}\n`).join(''))),
    }),
  );
}

function summaryOf(record: JobRecord): JobSummary {
  const { caller } = record;
  return {
    Id: record.id,
    Name: record.name,
    Subject: record.subject,
    Status: record.status,
    Source: caller.source,
    ...(caller.uid === undefined ? {} : { Uid: caller.uid }),
    ...(caller.pid === undefined ? {} : { Pid: caller.pid }),
    ...(caller.userAgent === undefined ? {} : { UserAgent: caller.userAgent }),
    ...(caller.remote === undefined ? {} : { Remote: caller.remote }),
    StartedAt: record.startedAt.toISOString(),
    ...(record.endedAt === undefined ? {} : { EndedAt: record.endedAt.toISOString() }),
    ...(record.durationMs === undefined ? {} : { DurationMs: Math.round(record.durationMs * 1000) / 1000 }),
    ...(record.error === undefined ? {} : { Error: record.error }),
  };
}

async function logIn(ctx: RouteContext): Promise<void> {
  const body = await ctx.jsonRequired();
  if (typeof body !== 'object' || body === null) throw invalidParameter('invalid JSON: must be an object');
  // The job takes each field only when it is a string.
  ctx.sendJson(200, await ctx.run(registryLogin, { request: body }));
}

export function systemRoutes(engine: Pick<Engine, 'list' | 'cancel'>, builder: BuilderVersion): readonly Route[] {
  const ping = pingWith(builder);
  return [
    route('GET', '/_ping', 24, 'ping', ping),
    route('HEAD', '/_ping', 24, 'ping', ping),
    route('GET', '/info', 24, 'show facts of the daemon', info),
    route('GET', '/version', 24, 'show the version', version),
    route('GET', '/events', 24, 'follow events', events),
    route('POST', '/auth', 24, 'log in to a registry', logIn),
    route('POST', '/berth/shutdown', 24, 'stop all containers because the system goes down', async (ctx) => {
      await ctx.run(systemShutdown, {});
      ctx.sendEmpty(204);
    }),
    route('GET', '/berth/jobs', 24, 'list jobs', (ctx) => ctx.sendJson(200, engine.list().map(summaryOf))),
    route('POST', '/berth/jobs/{id}/cancel', 24, 'cancel a job', (ctx) => {
      engine.cancel(ctx.param('id'));
      ctx.sendEmpty(204);
    }),
  ];
}
