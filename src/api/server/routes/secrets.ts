/** Routes of secrets: our own, since Docker's are of a swarm. The value is the body of create and in no answer. */
import { secretCreate, secretInspect, secretList, secretRemove } from '#api/jobs/secret.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { decodeFilters } from '#pkg/filters/filters.ts';
import { type Route, type RouteContext, route } from '../route.ts';

const BODY_BYTES_MAX = 1 << 20;

async function create(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const value = await ctx.exchange.readBody(BODY_BYTES_MAX);
  const labels = labelsOf(query.text('labels'));
  const input = { name: query.text('name'), value, labels, replace: query.flag('replace') };
  ctx.sendJson(201, await ctx.run(secretCreate, input));
}

/** JSON of key → value. */
function labelsOf(text: string): Record<string, string> {
  if (text === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalidParameter('labels: not JSON', { cause });
  }
  if (typeof value !== 'object' || value === null) throw invalidParameter('labels: not an object');
  return Object.fromEntries(
    Object.entries(value).map(([key, label]) => {
      if (typeof label !== 'string') throw invalidParameter(`labels: the value of "${key}" is no text`);
      return [key, label];
    }),
  );
}

export const secretRoutes: readonly Route[] = [
  route('GET', '/berth/secrets', 24, 'list secrets of this host', async (ctx) => {
    ctx.sendJson(200, await ctx.run(secretList, { filters: decodeFilters(ctx.query.text('filters')) }));
  }),
  route('POST', '/berth/secrets/create', 24, 'create a secret of this host', create),
  route('GET', '/berth/secrets/{name}', 24, 'inspect a secret of this host', async (ctx) => {
    ctx.sendJson(200, await ctx.run(secretInspect, { secret: ctx.param('name') }));
  }),
  route('DELETE', '/berth/secrets/{name}', 24, 'remove a secret of this host', async (ctx) => {
    await ctx.run(secretRemove, { secret: ctx.param('name') });
    ctx.sendEmpty(204);
  }),
];
