/** Connections that become HTTP/2: `/session`, where the engine asks the client, and `/grpc`, where it answers. */
import { buildControl, buildSession } from '#api/jobs/buildkit.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { type Route, type RouteContext, route } from '../route.ts';

const UPGRADED = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n';

async function session(ctx: RouteContext): Promise<void> {
  const { headers } = ctx.exchange.head;
  const header = (name: string) => headers.get(`x-docker-expose-session-${name}`) ?? '';
  requireUpgrade(ctx);
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

/** Errors: invalid-parameter. */
function requireUpgrade({ exchange }: RouteContext): void {
  const asked = exchange.head.headers.get('upgrade') ?? '';
  if (asked === '') throw invalidParameter(`no upgrade: ${exchange.head.path} needs one of the connection to h2c`);
  if (asked.toLowerCase() !== 'h2c') throw invalidParameter(`protocol ${asked} not supported: it is h2c`);
}

async function control(ctx: RouteContext): Promise<void> {
  requireUpgrade(ctx);
  const connection = ctx.exchange.hijack({ head: () => UPGRADED });
  await ctx.run(buildControl, { connection });
  connection.finish();
}

export const buildkitRoutes: readonly Route[] = [
  route('POST', '/session', 31, 'open a build session', session),
  route('POST', '/grpc', 31, 'open a gRPC connection', control),
];
