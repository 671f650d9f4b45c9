/** Authorization plugins: what they are asked, what a denial looks like, and that one that fails lets nothing pass. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { AuthzPlugin, type AuthzQuestion } from '../../support/authz-plugin.ts';
import { eventually, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

let daemon: TestDaemon;
let first: AuthzPlugin;
let second: AuthzPlugin;

beforeAll(async () => {
  first = new AuthzPlugin(`berth-authz-a-${process.pid}`);
  second = new AuthzPlugin(`berth-authz-b-${process.pid}`);
  daemon = await TestDaemon.start({
    noBridge: true,
    args: ['--authorization-plugin', first.name, '--authorization-plugin', second.name],
  });
}, 60_000);

afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  first[Symbol.dispose]();
  second[Symbol.dispose]();
}, 60_000);

beforeEach(() => {
  for (const plugin of [first, second]) {
    plugin.questions.length = 0;
    plugin.decide = () => ({ Allow: true });
  }
});

const isFor =
  (method: AuthzQuestion['method'], target: RegExp) =>
  (question: AuthzQuestion): boolean =>
    question.method === method && target.test(String(question.body['RequestUri']));

const decoded = (value: unknown): unknown => JSON.parse(Buffer.from(String(value), 'base64').toString());

test('requests and answers are shown as they are; passwords are not', async () => {
  const input = { Image: 'berth.test/busybox:1', Cmd: ['true'] };
  const answer = await daemon.request('POST', '/v1.45/containers/create?name=one', input);
  expect(answer.status).toBe(201);
  const [request] = first.asked('AuthZPlugin.AuthZReq', '/containers/create?name=one');
  expect(request?.body).toMatchObject({ RequestMethod: 'POST', RequestUri: '/v1.45/containers/create?name=one' });
  expect(request?.body).not.toContainKeys(['User', 'ResponseStatusCode', 'ResponseBody']);
  expect(decoded(request?.body['RequestBody'])).toEqual(input);
  expect(request?.body['RequestHeaders']).toMatchObject({ 'Content-Type': 'application/json' });
  const [response] = second.asked('AuthZPlugin.AuthZRes', '/containers/create?name=one');
  expect(response?.body).toMatchObject({ ResponseStatusCode: 201 });
  expect(decoded(response?.body['ResponseBody'])).toEqual(answer.body);
  expect(response?.body['ResponseHeaders']).toMatchObject({ 'Content-Type': 'application/json' });

  await daemon.request('POST', '/auth?x=/auth', { username: 'u', password: 'secret', serveraddress: '127.0.0.1:9' });
  const [login] = first.asked('AuthZPlugin.AuthZReq', '/auth?x=/auth');
  expect(login?.body).not.toContainKey('RequestBody');
  const headers = { 'X-Registry-Auth': 'c2VjcmV0', Authorization: 'Basic x' };
  await fetch('http://berth/images/json?x=/auth', { unix: daemon.socket, headers });
  const [listed] = first.asked('AuthZPlugin.AuthZReq', '/images/json?x=/auth');
  expect(Object.keys(listed?.body['RequestHeaders'] ?? {})).not.toContain('X-Registry-Auth');
  expect(Object.keys(listed?.body['RequestHeaders'] ?? {})).not.toContain('Authorization');
  // A target that ends like the one with passwords hides nothing else.
  const [listedAnswer] = first.asked('AuthZPlugin.AuthZRes', '/images/json?x=/auth');
  expect(decoded(listedAnswer?.body['ResponseBody'])).toBeArray();
});

test('a body in chunks is shown whole, and still there for the route', async () => {
  const text = JSON.stringify({ Image: 'berth.test/busybox:1', Cmd: ['echo', 'x'.repeat(300_000)] });
  const parts = [text.slice(0, 100_000), text.slice(100_000)];
  const body = new ReadableStream({
    pull: (controller) => {
      const next = parts.shift();
      if (next === undefined) controller.close();
      else controller.enqueue(Buffer.from(next));
    },
  });
  const response = await fetch('http://berth/containers/create?name=chunks', {
    method: 'POST',
    unix: daemon.socket,
    headers: { 'Content-Type': 'application/json; charset=utf-8' },
    body,
  });
  expect(response.status).toBe(201);
  const [request] = second.asked('AuthZPlugin.AuthZReq', '/containers/create?name=chunks');
  expect(Buffer.from(String(request?.body['RequestBody']), 'base64').toString()).toBe(text);
  const big = { Image: 'berth.test/busybox:1', Cmd: ['x'.repeat(5 << 20)] };
  expect((await daemon.request('POST', '/containers/create?name=big', big)).status).toBe(413);
  expect(first.asked('AuthZPlugin.AuthZReq', '/containers/create?name=big')).toEqual([]);
});

test('a denied request is not run, in dockerd’s words, and the next plugin is not asked', async () => {
  first.decide = (question) =>
    isFor('AuthZPlugin.AuthZReq', /\/containers\/create/)(question)
      ? { Allow: false, Msg: 'not on my watch' }
      : { Allow: true };
  const result = await daemon.docker(['create', '--name', 'denied', 'berth.test/busybox:1']);
  expect(result.code).toBe(1);
  expect(result.stderr).toContain(
    `Error response from daemon: authorization denied by plugin ${first.name}: not on my watch`,
  );
  expect(second.questions.filter(isFor('AuthZPlugin.AuthZReq', /containers\/create/))).toEqual([]);
  expect(first.questions.filter(isFor('AuthZPlugin.AuthZRes', /containers\/create/))).toEqual([]);
  expect((await daemon.request('GET', '/containers/denied/json')).status).toBe(404);
  expect(
    (await daemon.request('POST', '/containers/create?name=denied', { Image: 'berth.test/busybox:1' })).status,
  ).toBe(403);
});

test('a denied answer is held back; what failed is told as it is', async () => {
  second.decide = (question) =>
    question.method === 'AuthZPlugin.AuthZRes' ? { Allow: false, Msg: 'secret' } : { Allow: true };
  const denied = { message: `authorization denied by plugin ${second.name}: secret` };
  expect(await daemon.request('GET', '/version')).toEqual({ status: 403, body: denied });
  expect(await daemon.request('GET', '/containers/nosuch/json')).toEqual({
    status: 404,
    body: { message: 'No such container: nosuch' },
  });
});

test('streams and hijacked connections pass once their request did', async () => {
  const direct = ['--network', 'none'];
  const echo = await daemon.docker(['run', '-i', '--rm', ...direct, 'berth.test/busybox:1', 'cat'], {
    input: 'through',
  });
  expect([echo.code, echo.stdout]).toEqual([0, 'through']);
  await daemon.must([
    'run',
    '-d',
    '--name',
    'long',
    ...direct,
    'berth.test/busybox:1',
    'sh',
    '-c',
    'echo out; exec sleep 1000',
  ]);
  expect(await daemon.must(['exec', 'long', 'echo', 'inside'])).toBe('inside');
  await eventually('its output is there', async () => (await daemon.must(['logs', 'long'])) === 'out', 10_000);
  // At the end of a stream they are told, which nobody waits for.
  const told = () => second.questions.some(isFor('AuthZPlugin.AuthZRes', /\/logs\?/));
  await eventually('the end of the logs is told', told, 10_000);
  first.decide = (question) =>
    isFor('AuthZPlugin.AuthZReq', /\/exec$/)(question) && decoded(question.body['RequestBody']) !== undefined
      ? { Allow: false, Msg: 'no exec' }
      : { Allow: true };
  expect((await daemon.docker(['exec', 'long', 'echo', 'inside'])).stderr).toContain(': no exec');
  await daemon.must(['rm', '-f', 'long']);
});

test('a plugin that fails, dies or is not there lets nothing pass', async () => {
  second.decide = () => ({ Err: 'out of order' });
  expect(await daemon.request('GET', '/version')).toEqual({
    status: 500,
    body: { message: `plugin ${second.name} failed with error: AuthZPlugin.AuthZReq: out of order` },
  });
  await second.stop();
  const gone = await daemon.request('GET', '/version');
  expect(gone.status).toBe(500);
  expect(JSON.stringify(gone.body)).toContain(`plugin ${second.name} failed with error: `);
  second.start();
  second.decide = () => ({ Allow: true });
  expect((await daemon.request('GET', '/version')).status).toBe(200);
}, 60_000);

test('a plugin that hangs holds one request, not the others', async () => {
  first.decide = (question) => (isFor('AuthZPlugin.AuthZReq', /\/volumes$/)(question) ? 'hang' : { Allow: true });
  const waiting = new AbortController();
  const hung = fetch('http://berth/volumes', { unix: daemon.socket, signal: waiting.signal }).catch(() => 'aborted');
  await eventually('it is asked', () => first.questions.some(isFor('AuthZPlugin.AuthZReq', /volumes/)), 10_000);
  expect((await daemon.request('GET', '/version')).status).toBe(200);
  waiting.abort();
  expect(await hung).toBe('aborted');
});

test('info names them, SIGHUP changes them, one that is not there changes nothing', async () => {
  const names = async () => {
    const { body } = await daemon.request('GET', '/info');
    return (body as { Plugins: { Authorization: string[] | null } }).Plugins.Authorization;
  };
  expect(await names()).toEqual([first.name, second.name]);
  // Those of the command line cannot be changed by the file: a daemon with the file alone.
  const file = path.join(daemon.directory, 'daemon.json');
  await using other = await TestDaemon.start({ noBridge: true, image: false });
  const config = path.join(other.directory, 'daemon.json');
  const namesOfOther = async () => {
    const { body } = await other.request('GET', '/info');
    return (body as { Plugins: { Authorization: string[] | null } }).Plugins.Authorization;
  };
  expect(await namesOfOther()).toBeNull();
  fs.writeFileSync(config, JSON.stringify({ 'authorization-plugins': [first.name] }));
  process.kill(other.pid, 'SIGHUP');
  await eventually('the plugin is in force', async () => (await namesOfOther())?.[0] === first.name, 10_000);
  first.decide = () => ({ Allow: false, Msg: 'closed' });
  expect((await other.request('GET', '/version')).status).toBe(403);
  fs.writeFileSync(config, JSON.stringify({ 'authorization-plugins': ['berth-nosuch'] }));
  process.kill(other.pid, 'SIGHUP');
  await eventually('the refusal is logged', () => other.log.includes('was not reloaded'), 10_000);
  expect((await other.request('GET', '/version')).status).toBe(403);
  first.decide = () => ({ Allow: true });
  fs.writeFileSync(config, '{}');
  process.kill(other.pid, 'SIGHUP');
  await eventually('nobody is asked', async () => (await namesOfOther()) === null, 10_000);
  expect(fs.readFileSync(file, 'utf8')).toBe('{}');
}, 60_000);

test('a daemon does not start without a plugin that it shall ask', async () => {
  const { code, stderr } = await run(process.execPath, [
    path.resolve(import.meta.dirname, '../../../src/cmd/berthd.ts'),
    ...['--data-root', path.join(daemon.directory, 'x'), '--exec-root', path.join(daemon.directory, 'y')],
    ...['-H', `unix://${path.join(daemon.directory, 'x.sock')}`, '--bridge', 'none'],
    ...['--config-file', path.join(daemon.directory, 'daemon.json'), '--authorization-plugin', 'berth-nosuch'],
  ]);
  expect(code).toBe(1);
  expect(stderr).toContain('plugin "berth-nosuch" not found');
}, 60_000);
