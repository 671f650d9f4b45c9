/** `/session`: a connection that becomes HTTP/2 with its roles turned around. */
import { buildSession } from '#api/jobs/buildkit.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { type Route, type RouteContext, route } from '../route.ts';

const UPGRADED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n';

async function session(ctx: RouteContext): Promise<void> {
  const { headers } = ctx.exchange.head;
  const header = (name: string) => headers.get(`x-docker-expose-session-${name}`) ?? '';
  if (headers.get('upgrade')?.toLowerCase() !== 'h2c') {
    throw invalidParameter('a build session needs an upgrade of the connection to h2c');
  }
  const connection = ctx.exchange.hijack({ head: () => UPGRADED });
  await ctx.run(buildSession, {
    id: header('uuid'),
    name: header('name'),
    sharedKey: header('sharedkey'),
    methods: header('grpc-method')
      .split(',')
      .map((path) => path.trim())
      .filter((path) => path !== ''),
    connection,
  });
  connection.finish();
}

export const buildkitRoutes: readonly Route[] = [route('POST', '/session', 31, 'open a build session', session)];
