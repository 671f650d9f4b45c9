import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { COMMANDS, findCommand } from './command-table.ts';
import { runCli } from './main.ts';

async function cli(argv: readonly string[], environment: Record<string, string> = {}) {
  let out = '';
  let err = '';
  const io = {
    out: (text: string) => void (out += text),
    err: (text: string) => void (err += text),
    stdinIsTerminal: false,
    stdoutIsTerminal: false,
  };
  const code = await runCli({ argv, environment, io });
  return { code, out, err };
}

describe("mistakes in docker's words", () => {
  for (const [line, code, start] of [
    [
      'run -x',
      125,
      "unknown shorthand flag: 'x' in -x\n\nUsage:  berth run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nRun 'berth run --help'",
    ],
    [
      'run',
      1,
      "berth: 'berth run' requires at least 1 argument\n\nUsage:  berth run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nSee 'berth run --help'",
    ],
    ['ps --foo', 125, 'unknown flag: --foo\n\nUsage:  berth ps [OPTIONS]'],
    ['ps extra', 1, "berth: 'berth ps' accepts no arguments"],
    ['container ls extra', 1, "berth: 'berth container ls' accepts no arguments"],
    ['rename a', 1, "berth: 'berth rename' requires 2 arguments\n\nUsage:  berth rename CONTAINER NEW_NAME\n\nRun"],
    ['foo', 1, "berth: unknown command: berth foo\n\nRun 'berth --help' for more information\n"],
    ['container foo', 1, 'berth: unknown command: berth container foo\n\nUsage:  berth container\n'],
    ['container --foo', 125, 'unknown flag: --foo'],
    ['--foo ps', 125, 'unknown flag: --foo\n\nUsage:  berth [OPTIONS] COMMAND [ARG...]'],
    ['-H', 125, "flag needs an argument: 'H' in -H"],
    ['-H unix:///a -H unix:///b ps', 1, 'Specify only one -H'],
    ['ps --filter foo', 125, 'invalid argument "foo" for "-f, --filter" flag: bad format of filter'],
    [
      '-H unix:///nowhere/x.sock ps',
      1,
      'Cannot connect to the Berth daemon at unix:///nowhere/x.sock. Is the berth daemon running?',
    ],
    ['run -it img', 1, 'the input device is not a TTY'],
    ['run -d -a stdout img', 1, 'conflicting options: cannot specify both --attach and --detach'],
    ['run --pull sometimes img', 125, "berth: invalid pull option: 'sometimes'"],
  ] as const) {
    test(line, async () => {
      const result = await cli(line.split(' '), { BERTH_HOST: 'unix:///nowhere/x.sock' });
      expect(result.err).toStartWith(start);
      expect([result.code, result.out]).toEqual([code, '']);
    });
  }
});

test('the version', async () => expect((await cli(['--version'])).out).toMatch(/^Berth version \d+\.\d+\.\d+\n$/));

test('every command has help under each of its names', async () => {
  for (const { names } of COMMANDS) {
    for (const name of names) {
      const { code, out } = await cli([...name.split(' '), '--help']);
      expect([name, code]).toEqual([name, 0]);
      expect(out).toStartWith(`Usage:  berth ${name}`);
    }
  }
});

test('no name is taken twice', () => {
  const names = COMMANDS.flatMap((entry) => entry.names);
  expect(new Set(names).size).toBe(names.length);
});

test('two words before one', () => {
  expect(findCommand(['jobs', 'cancel', '7'])).toMatchObject({ path: 'jobs cancel', rest: ['7'] });
  expect(findCommand(['jobs', '-q'])).toMatchObject({ path: 'jobs', rest: ['-q'] });
  expect(findCommand(['nope'])).toBeUndefined();
});

describe('against a daemon', () => {
  const seen: string[] = [];
  const server = { stop: () => undefined as void, host: '' };
  beforeAll(() => {
    const socket = `/tmp/berth-client-test-${process.pid}.sock`;
    const listening = Bun.serve({
      unix: socket,
      fetch(request) {
        const { pathname, search } = new URL(request.url);
        seen.push(`${request.method} ${pathname}${search}`);
        if (pathname.startsWith('/v1.51/'))
          return Response.json(
            { message: 'client version 1.51 is too new. Maximum supported API version is 1.44' },
            { status: 400 },
          );
        if (pathname === '/_ping') return new Response('OK', { headers: { 'Api-Version': '1.44' } });
        if (pathname.endsWith('/containers/json')) return Response.json([]);
        if (pathname.endsWith('/start')) return new Response(null, { status: 304 });
        return Response.json({ message: `No such container: ${pathname.split('/')[3] ?? ''}` }, { status: 404 });
      },
    });
    server.stop = () => void listening.stop(true);
    server.host = `unix://${socket}`;
  });
  afterAll(() => server.stop());

  test('the lower version is spoken', async () => {
    seen.length = 0;
    const { code, out } = await cli(['ps', '-a', '--filter', 'name=x'], { DOCKER_HOST: server.host });
    expect([code, out]).toEqual([0, 'CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n']);
    const filters = encodeURIComponent('{"name":{"x":true}}');
    // Only a daemon that refuses our newest is asked for its own.
    expect(seen).toEqual([
      `GET /v1.51/containers/json?all=1&filters=${filters}`,
      'HEAD /_ping',
      `GET /v1.44/containers/json?all=1&filters=${filters}`,
    ]);
  });
  test('BERTH_HOST is before DOCKER_HOST, -H before both', async () => {
    expect((await cli(['ps', '-q'], { BERTH_HOST: server.host, DOCKER_HOST: 'unix:///nowhere' })).code).toBe(0);
    expect((await cli(['-H', server.host, 'ps', '-q'], { BERTH_HOST: 'unix:///nowhere' })).code).toBe(0);
  });
  test('a stated version is not negotiated', async () => {
    seen.length = 0;
    await cli(['ps'], { BERTH_HOST: server.host, DOCKER_API_VERSION: '1.40' });
    expect(seen).toEqual(['GET /v1.40/containers/json']);
  });
  test('some of many fail', async () => {
    const { code, out, err } = await cli(['start', 'a', 'b'], { BERTH_HOST: server.host });
    expect([code, out, err]).toEqual([0, 'a\nb\n', '']);
    const removed = await cli(['rm', 'a', 'b'], { BERTH_HOST: server.host });
    expect([removed.code, removed.out]).toEqual([1, '']);
    expect(removed.err.split('\n').sort()).toEqual([
      '',
      'Error response from daemon: No such container: a',
      'Error response from daemon: No such container: b',
    ]);
  });
});
