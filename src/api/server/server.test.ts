import { describe, expect, test } from 'bun:test';
import {
  containerCreate,
  containerLogs,
  containerResize,
  containerStart,
  containerStop,
  containerWait,
  execStart,
} from '#api/jobs/container.ts';
import { imageLoad, imagePull, imageSave } from '#api/jobs/image.ts';
import { systemEvents } from '#api/jobs/system.ts';
import { Engine } from '#engine/engine.ts';
import { conflict, type ErrorKind, notFound, notImplemented, notModified } from '#errdefs/errors.ts';
import { statusOfKind } from './httpstatus.ts';
import { MemoryTransport } from './memory-transport.ts';
import { allRoutes } from './routes/all.ts';
import { ApiServer } from './server.ts';

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

function open(engine = new Engine()): MemoryTransport {
  return new MemoryTransport(new ApiServer({ engine, version: '0.1.0' }).accept);
}

async function ask(engine: Engine, method: string, target: string, body?: string, type = 'application/json') {
  const peer = open(engine);
  const content = body === undefined ? '' : `Content-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  peer.send(Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: docker\r\n${content}\r\n${body ?? ''}`));
  for (let i = 0; i < 10; i++) await settle();
  const text = peer.received;
  const end = text.indexOf('\r\n\r\n');
  return { status: Number(text.slice(9, 12)), head: text.slice(0, end), body: text.slice(end + 4), peer };
}

async function message(engine: Engine, method: string, target: string, body?: string, type?: string) {
  const answer = await ask(engine, method, target, body, type);
  const parsed: unknown = JSON.parse(answer.body);
  return `${answer.status} ${typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, 'message') : ''}`;
}

describe('ping and versions', () => {
  test('GET and HEAD have the headers that clients read', async () => {
    for (const method of ['GET', 'HEAD']) {
      const { head, body, status } = await ask(new Engine(), method, '/_ping');
      expect(status).toBe(200);
      expect(body).toBe(method === 'GET' ? 'OK' : '');
      for (const line of [
        'Api-Version: 1.51',
        'Docker-Experimental: false',
        'Ostype: linux',
        'Builder-Version: 2',
        'Swarm: inactive',
        'Cache-Control: no-cache, no-store, must-revalidate',
        'Pragma: no-cache',
        'Server: Berth/0.1.0 (linux)',
      ]) {
        expect(head.split('\r\n')).toContain(line);
      }
    }
  });

  test('versions outside of what we serve are refused in the words that clients match', async () => {
    const engine = new Engine();
    expect((await ask(engine, 'GET', '/v1.24/_ping')).status).toBe(200);
    expect((await ask(engine, 'GET', '/v1.51/_ping')).status).toBe(200);
    expect(await message(engine, 'GET', '/v1.52/_ping')).toBe(
      '400 client version 1.52 is too new. Maximum supported API version is 1.51',
    );
    expect(await message(engine, 'GET', '/v2.0/_ping')).toContain('client version 2.0 is too new');
    expect(await message(engine, 'GET', '/v1.23/_ping')).toBe(
      '400 client version 1.23 is too old. Minimum supported API version is 1.24, ' +
        'please upgrade your client to a newer version',
    );
  });

  test('unknown paths, and known ones in the wrong version', async () => {
    const engine = new Engine();
    expect(await message(engine, 'GET', '/nothing')).toBe('404 page not found');
    expect(await message(engine, 'PATCH', '/info')).toBe('404 page not found');
    expect(await message(engine, 'POST', '/v1.24/containers/prune')).toBe('404 page not found');
  });
});

test('a web page gets nothing over plain TCP', async () => {
  const status = async (headers: string) => {
    const { accept } = new ApiServer({ engine: new Engine(), version: '1' });
    const peer = new MemoryTransport(accept, { remote: '127.0.0.1:9', plainTcp: true });
    peer.send(`GET /_ping HTTP/1.1\r\n${headers}\r\n\r\n`);
    await settle();
    return Number(peer.received.slice(9, 12));
  };
  for (const host of ['localhost:2375', '127.0.0.1', '[::1]:2375']) expect(await status(`Host: ${host}`)).toBe(200);
  expect(await status('Host: evil.example:2375')).toBe(403);
  expect(await status('Host: 127.0.0.1.evil.example')).toBe(403);
  expect(await status('Host: localhost\r\nOrigin: https://evil.example')).toBe(403);
  expect(await status('Host: localhost\r\nOrigin: null')).toBe(403);
});

describe('bodies', () => {
  const engine = new Engine();
  engine.register(containerCreate, () => {
    throw notFound('No such image: x');
  });
  const refused: [string, string | undefined, string, string][] = [
    ['wrong type', '{}', 'text/plain', "400 unsupported Content-Type header (text/plain): must be 'application/json'"],
    [
      'malformed',
      '{invalid',
      'application/json',
      "400 invalid JSON: invalid character 'i' looking for beginning of object key string",
    ],
    ['cut', '{"Image":"x"', 'application/json', '400 invalid JSON: unexpected EOF'],
    ['followed', '{"Image":"x"} x', 'application/json', '400 unexpected content after JSON'],
    ['blank', ' ', 'application/json', '400 invalid JSON: got EOF while reading request body'],
    ['none', undefined, '', '400 invalid JSON: got EOF while reading request body'],
    ['no config', '{}', 'application/json', '400 config cannot be empty in order to create a container'],
    [
      'wrong field',
      '{"Image":1}',
      'application/json',
      '400 invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Image of type string',
    ],
    ['good', '{"Image":"x"}', 'application/json; charset=utf-8', '404 No such image: x'],
  ];
  for (const [name, body, type, expected] of refused) {
    test(name, async () => expect(await message(engine, 'POST', '/containers/create', body, type)).toBe(expected));
  }
});

describe('statuses', () => {
  test('each kind has one, and the text is passed on', async () => {
    const engine = new Engine();
    const failures = [notFound('No such container: a'), conflict('busy'), notModified('as it was'), new Error('oops')];
    engine.register(containerStart, () => {
      throw failures.shift() ?? new Error('none left');
    });
    expect(await message(engine, 'POST', '/containers/a/start')).toBe('404 No such container: a');
    expect(await message(engine, 'POST', '/containers/a/start')).toBe('409 busy');
    const same = await ask(engine, 'POST', '/containers/a/start');
    expect([same.status, same.body]).toEqual([304, '']);
    expect(await message(engine, 'POST', '/containers/a/start')).toBe('500 oops');
    const kinds: ErrorKind[] = ['invalid-parameter', 'unauthorized', 'forbidden', 'not-implemented', 'unavailable'];
    expect(kinds.map((kind) => statusOfKind[kind])).toEqual([400, 401, 403, 501, 503]);
  });

  test('what is not there yet says which operation', async () => {
    const engine = new Engine();
    expect(await message(engine, 'POST', '/v1.51/containers/a/checkpoints')).toBe(
      '501 Cannot checkpoint a container: this is not there yet',
    );
    expect(await message(engine, 'GET', '/services')).toContain('503 This node is not a swarm manager. Use "docker');
    expect(await message(engine, 'POST', '/swarm/leave')).toBe('503 This node is not part of a swarm');
  });

  test('no body with a start', async () => {
    expect(await message(new Engine(), 'POST', '/containers/a/start', '{"Binds":[]}')).toStartWith('400 starting');
  });
});

describe('query values', () => {
  const engine = new Engine();
  const seen: unknown[] = [];
  engine.register(containerResize, (input) => void seen.push(input));
  engine.register(containerStop, (input) => void seen.push(input));

  test('resize', async () => {
    const cases: [string, string][] = [
      ['', 'invalid resize height "": invalid syntax'],
      ['?h=-1&w=1', 'invalid resize height "-1": invalid syntax'],
      ['?h=1&w=x', 'invalid resize width "x": invalid syntax'],
      ['?h=99999999999&w=1', 'invalid resize height "99999999999": value out of range'],
    ];
    for (const [query, expected] of cases) {
      for (const of of ['containers', 'exec']) {
        expect(await message(engine, 'POST', `/${of}/a/resize${query}`)).toBe(`400 ${expected}`);
      }
    }
    expect((await ask(engine, 'POST', '/containers/a/resize?h=3&w=4')).status).toBe(200);
    expect(seen.pop()).toEqual({ container: 'a', height: 3, width: 4 });
  });

  test('stop: no time is no time, a signal only since API 1.42', async () => {
    await ask(engine, 'POST', '/v1.41/containers/a/stop?signal=INT');
    expect(seen.pop()).toEqual({ container: 'a', signal: '', timeoutSeconds: undefined });
    await ask(engine, 'POST', '/v1.42/containers/a/stop?signal=INT&t=-1');
    expect(seen.pop()).toEqual({ container: 'a', signal: 'INT', timeoutSeconds: -1 });
    expect(await message(engine, 'POST', '/containers/a/stop?t=x')).toBe(
      '400 strconv.Atoi: parsing "x": invalid syntax',
    );
  });

  test('logs need a stream, wait a known condition, filters their form', async () => {
    expect(await message(engine, 'GET', '/containers/a/logs')).toContain('you must choose at least one stream');
    expect(await message(engine, 'POST', '/containers/a/wait?condition=x')).toBe('400 invalid condition: "x"');
    expect(await message(engine, 'GET', '/containers/json?filters=x')).toBe('400 invalid filter');
  });
});

describe('answers over time', () => {
  test('wait: the head goes out when the waiter stands', async () => {
    const engine = new Engine();
    const { promise, resolve } = Promise.withResolvers<{ StatusCode: number }>();
    engine.register(containerWait, (input) => {
      input.accepted();
      return promise;
    });
    const { peer, head, body } = await ask(engine, 'POST', '/containers/a/wait?condition=next-exit');
    expect(head).toContain('200 OK');
    expect(body).toBe('');
    resolve({ StatusCode: 3 });
    await settle();
    expect(peer.received).toEndWith('\r\n\r\n11\r\n{"StatusCode":3}\n\r\n0\r\n\r\n');
  });

  test('logs: the type tells tty from not, and old clients know one', async () => {
    const engine = new Engine();
    engine.register(containerLogs, async (input) => {
      await input.open(input.container === 'tty').write(Buffer.from('x'));
    });
    const type = async (target: string) => /Content-Type: (.*)/.exec((await ask(engine, 'GET', target)).head)?.[1];
    expect(await type('/containers/a/logs?stdout=1')).toBe('application/vnd.docker.multiplexed-stream');
    expect(await type('/containers/tty/logs?stdout=1')).toBe('application/vnd.docker.raw-stream');
    expect(await type('/v1.41/containers/a/logs?stdout=1')).toBe('application/vnd.docker.raw-stream');
  });

  test('events: the head at once, a batch is one chunk', async () => {
    const engine = new Engine();
    engine.register(systemEvents, async (input) => {
      input.accepted();
      const event = { Type: 'container', Action: 'start', Actor: { ID: 'a', Attributes: {} } } as const;
      await input.emit([
        { ...event, scope: 'local', time: 1, timeNano: 1n },
        { ...event, scope: 'local', time: 2, timeNano: 2n },
      ]);
    });
    const { body } = await ask(engine, 'GET', '/events');
    expect(body.match(/\r\n/g)?.length).toBe(4);
    expect(body.match(/"Action"/g)?.length).toBe(2);
    expect(await message(engine, 'GET', '/events?since=5&until=4')).toContain('cannot be after');
  });

  test('a progress stream that fails says so: before the first byte by status, after it in a line', async () => {
    const engine = new Engine();
    engine.register(imageLoad, async (input) => {
      let bytes = 0;
      for await (const part of input.archive) bytes += part.length;
      if (bytes > 3) await input.progress.write(Buffer.from('{"stream":"x"}\r\n'));
      throw conflict('no room');
    });
    expect(await message(engine, 'POST', '/images/load', 'abc', 'application/x-tar')).toBe('409 no room');
    const late = await ask(engine, 'POST', '/images/load', 'abcd', 'application/x-tar');
    expect(late.status).toBe(200);
    expect(late.body).toContain('{"errorDetail":{"message":"no room"},"error":"no room"}\r\n');
    expect(late.body).toEndWith('0\r\n\r\n');
  });

  test('a save that fails in the middle breaks the connection', async () => {
    const engine = new Engine();
    engine.register(imageSave, async (input) => {
      await input.output.write(Buffer.from(input.names.join()));
      throw new Error('disk');
    });
    const { body, peer } = await ask(engine, 'GET', '/images/get?names=a&names=b');
    expect(body).toBe('3\r\na,b\r\n');
    expect(peer.gone).toBe(true);
  });

  test('pull', async () => {
    const engine = new Engine();
    engine.register(imagePull, (input) => {
      throw notImplemented(`Cannot pull "${input.image}": pulling from a registry is not there yet`);
    });
    expect(await message(engine, 'POST', '/images/create?fromImage=busybox&tag=latest')).toBe(
      '501 Cannot pull "busybox": pulling from a registry is not there yet',
    );
    expect(await message(engine, 'POST', '/images/create')).toStartWith('400');
  });

  test('exec start: what fails after the upgrade is told in the stream', async () => {
    const engine = new Engine();
    engine.register(execStart, (input) => {
      if (input.exec === 'none') throw notFound('No such exec instance: none');
      input.connection?.accept(false);
      throw conflict('no such file');
    });
    expect(await message(engine, 'POST', '/exec/none/start', '{}')).toBe('404 No such exec instance: none');
    const { head, body } = await ask(engine, 'POST', '/exec/a/start', '{"Detach":false}');
    expect(head).toBe('HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream');
    expect(body).toBe('\x01\0\0\0\0\0\0\x0eno such file\r\n');
    expect((await ask(engine, 'POST', '/exec/a/start', '{"Detach":true}')).status).toBe(409);
  });
});

describe('jobs', () => {
  test('are listed with who asked, and can be cancelled', async () => {
    const engine = new Engine();
    engine.register(containerStop, async (_, ctx) => {
      await new Promise((_resolve, reject) => {
        ctx.signal.addEventListener('abort', () => reject(new Error('stopped waiting')));
      });
    });
    const waiting = open(engine);
    waiting.send('POST /containers/abc/stop HTTP/1.1\r\nHost: docker\r\n\r\n');
    await settle();
    const listed: unknown = JSON.parse((await ask(engine, 'GET', '/berth/jobs')).body);
    expect(listed).toEqual([
      expect.objectContaining({ Id: '1', Name: 'container.stop', Subject: 'abc', Status: 'running', Uid: 0, Pid: 1 }),
    ]);
    expect((await ask(engine, 'POST', '/berth/jobs/1/cancel')).status).toBe(204);
    expect(waiting.received).toStartWith('HTTP/1.1 500');
    expect(await message(engine, 'POST', '/berth/jobs/1/cancel')).toBe('409 Cannot cancel job "1": it has ended');
    expect(await message(engine, 'POST', '/berth/jobs/9/cancel')).toBe('404 No such job: 9');
  });

  test('a stopping server answers and closes', async () => {
    const server = new ApiServer({ engine: new Engine(), version: '1' });
    const idle = new MemoryTransport(server.accept);
    server.stop();
    expect(idle.gone).toBe(true);
    const late = new MemoryTransport(server.accept);
    late.send('GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n');
    await settle();
    expect(late.received).toContain('Connection: close');
    expect(late.ended).toBe(true);
  });
});

describe('the route table', () => {
  const routes = allRoutes(new Engine());

  /** Operations of API 1.51 and those that dockerd has beside them, counted by their first segment. */
  test('names every operation once', () => {
    const keys = routes.map((route) => `${route.method} ${route.path.replace(/\{[a-z.]+\}/g, '{}')}`);
    expect(new Set(keys).size).toBe(keys.length);
    const counts: Record<string, number> = {};
    for (const key of keys) {
      const segment = key.split('/')[1] ?? '';
      // Ours are no part of Docker's API.
      if (segment === 'berth') continue;
      counts[segment] = (counts[segment] ?? 0) + 1;
    }
    expect(counts).toEqual({
      _ping: 2,
      info: 1,
      metrics: 1,
      version: 1,
      events: 1,
      system: 1,
      auth: 1,
      session: 1,
      grpc: 1,
      // 25, exec create, and three of checkpoints
      containers: 29,
      exec: 3,
      images: 13,
      commit: 1,
      build: 3,
      distribution: 1,
      networks: 7,
      volumes: 6,
      swarm: 7,
      nodes: 4,
      services: 6,
      tasks: 3,
      secrets: 5,
      configs: 5,
      plugins: 11,
    });
  });

  test('every row has a handler or a refusal with its reason', () => {
    for (const route of routes) {
      expect(route.handler === undefined).toBe(route.refusal !== undefined);
      expect(route.reason !== undefined).toBe(route.refusal !== undefined);
    }
  });

  test('names with slashes are one parameter', async () => {
    const engine = new Engine();
    engine.register(imageSave, (input) => input.output.write(Buffer.from(input.names.join())));
    expect((await ask(engine, 'GET', '/v1.51/images/reg:5000/a/b:tag/get')).body).toContain('reg:5000/a/b:tag');
    expect((await ask(engine, 'GET', '/images/a%2Fb/get')).body).toContain('a/b');
  });
});
