/**
 * BuildKit's control API over POST /grpc, called in the order in which buildx's docker driver calls it: workers, then
 * Solve and Status side by side, the frontend's Solve by the bridge, and Return, which ends the build.
 */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as methods from '../../../src/builder/buildkit/control-methods.ts';
import * as gateway from '../../../src/builder/buildkit/gateway-methods.ts';
import * as history from '../../../src/builder/buildkit/history-methods.ts';
import { kindOf } from '../../../src/errdefs/errors.ts';
import { ask, call, type Method } from '../../../src/pkg/grpc/client.ts';
import type { Http2Connection } from '../../../src/pkg/http2/connection.ts';
import {
  encode,
  int,
  many,
  map,
  type MessageOf,
  nested,
  type Table,
  text,
} from '../../../src/pkg/protobuf/protobuf.ts';
import { directories, newId, openControl, openSession } from '../../support/buildkit-client.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const never = new AbortController().signal;
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

type StatusMessage = MessageOf<typeof methods.status.answer>;

async function statusOf(control: Http2Connection, ref: string): Promise<readonly StatusMessage[]> {
  using opened = await call(control, methods.status, { signal: never });
  await opened.send({ ref });
  await opened.end();
  const messages: StatusMessage[] = [];
  for await (const message of opened.answers()) messages.push(message);
  return messages;
}

interface Asked {
  readonly dockerfile: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly options?: Readonly<Record<string, string>>;
  readonly exporters?: readonly { readonly type: string; readonly attrs: ReadonlyMap<string, string> }[];
  readonly caches?: readonly { readonly type: string; readonly attrs: ReadonlyMap<string, string> }[];
  readonly entitlements?: readonly string[];
}

/** A call of the bridge belongs to a build by its metadata. */
async function bridge<Q extends Table, A extends Table>(
  control: Http2Connection,
  ref: string,
  method: Method<Q, A>,
  request: Partial<MessageOf<Q>>,
): Promise<MessageOf<A>> {
  using opened = await call(control, method, { metadata: [[gateway.BUILD_ID, ref]], signal: never });
  await opened.send(request);
  await opened.end();
  for await (const answer of opened.answers()) return answer;
  throw new Error('no answer');
}

async function buildx(asked: Asked) {
  await using control = await openControl(d.socket);
  const [ref, session] = [newId(), newId()];
  const shared = { dockerfile: { Dockerfile: asked.dockerfile }, context: asked.files ?? {} };
  await using _session = await openSession(d.socket, session, [directories(shared)]);
  const status = statusOf(control, ref);
  const { exporters = [], caches = [], entitlements = [] } = asked;
  const cache = { exports: caches, imports: [] };
  const outcome = ask(control, methods.solve, { ref, session, exporters, entitlements, cache }, never).then(
    ({ exporterResponse }) => ({ response: exporterResponse, error: undefined }),
    (error: unknown) => ({ response: new Map<string, string>(), error }),
  );
  const options = new Map(Object.entries(asked.options ?? {}));
  let metadata: ReadonlyMap<string, Uint8Array> = new Map();
  try {
    const request = { frontend: 'dockerfile.v0', options, resultReturn: true, referenceReturn: true };
    const { result } = await bridge(control, ref, gateway.frontendSolve, request);
    metadata = result?.metadata ?? metadata;
    await bridge(control, ref, gateway.frontendReturn, { result });
  } catch (error) {
    await bridge(control, ref, gateway.frontendReturn, { error: { code: 2, message: `client: ${String(error)}` } });
  }
  return { ...(await outcome), messages: await status, metadata };
}

const named = (name: string) => [{ type: 'moby', attrs: new Map([['name', name]]) }];

test('workers and facts', async () => {
  await using control = await openControl(d.socket);
  const { record } = await ask(control, methods.listWorkers, {}, never);
  expect(record).toHaveLength(1);
  expect(record[0]?.platforms[0]?.os).toBe('linux');
  // By it buildx leaves several platforms, archives, pushes and caches to the daemon.
  expect(record[0]?.labels.has('org.mobyproject.buildkit.worker.snapshotter')).toBe(true);
  expect((await ask(control, methods.info, {}, never)).version?.package).toBe('berth');
});

test('a build: image, names, progress; the second from the cache', async () => {
  const asked = {
    dockerfile: `FROM ${IMG}\nARG WHO\nRUN echo "hi $WHO" > /hi && echo said\nCOPY a /a\nLABEL x=y\n`,
    files: { a: 'content' },
    options: { 'build-arg:WHO': 'you', 'label:l': 'm', filename: 'Dockerfile' },
    exporters: named('bx:1,bx:2'),
  };
  const first = await buildx(asked);
  expect(first.error).toBeUndefined();
  const id = first.response.get('containerimage.digest') ?? '';
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}} {{.Config.Labels.l}}', 'docker.io/library/bx:2'])).toBe(
    `${id} m`,
  );
  expect(await d.must(['run', '--rm', '--network', 'none', 'bx:1', 'cat', '/hi', '/a'])).toBe('hi you\ncontent');
  const logs = first.messages.flatMap(({ logs: some }) => some.map(({ msg }) => Buffer.from(msg).toString()));
  expect(logs.join('')).toContain('said');
  const names = first.messages.flatMap(({ vertexes }) =>
    vertexes.filter((v) => v.completed !== undefined).map((v) => v.name),
  );
  expect(names).toContain('[internal] load build context');
  const second = await buildx(asked);
  expect(second.response.get('containerimage.digest')).toBe(id);
  const cached = second.messages.flatMap(({ vertexes }) => vertexes.filter((v) => v.cached));
  expect(cached.length).toBeGreaterThanOrEqual(2);
}, 120_000);

test('a build without the bridge: the frontend is named in the Solve', async () => {
  await using control = await openControl(d.socket);
  const [ref, session] = [newId(), newId()];
  const shared = { dockerfile: { Dockerfile: `FROM ${IMG}\nRUN true\n` }, context: {} };
  await using _session = await openSession(d.socket, session, [directories(shared)]);
  const request = { ref, session, frontend: 'dockerfile.v0', exporters: named('direct:1') };
  const { exporterResponse } = await ask(control, methods.solve, request, never);
  expect(exporterResponse.get('image.name')).toBe('docker.io/library/direct:1');
}, 60_000);

test('clients that know no results say what is the last', async () => {
  await using control = await openControl(d.socket);
  const [ref, session] = [newId(), newId()];
  const shared = { dockerfile: { Dockerfile: `FROM ${IMG}\nRUN true\n` }, context: {} };
  await using _session = await openSession(d.socket, session, [directories(shared)]);
  const solving = ask(control, methods.solve, { ref, session, exporters: named('old:1') }, never);
  const first = await bridge(control, ref, gateway.frontendSolve, { frontend: 'dockerfile.v0' });
  expect(first.ref).not.toBe('');
  expect(first.result).toBeUndefined();
  await bridge(control, ref, gateway.frontendSolve, { final: true, exporterAttr: Buffer.from('{}') });
  expect((await solving).exporterResponse.get('image.name')).toBe('docker.io/library/old:1');
}, 60_000);

test('warnings come with a build, and alone when only they are asked for', async () => {
  const dockerfile = `FROM ${IMG} as b\nCMD true\n`;
  const built = await buildx({ dockerfile, exporters: named('warned:1') });
  const warnings = built.messages.flatMap(({ warnings: some }) =>
    some.map(({ short }) => Buffer.from(short).toString()),
  );
  expect(warnings).toEqual([
    "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)",
    'JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals (line 2)',
  ]);
  const checked = await buildx({ dockerfile, options: { requestid: 'frontend.lint' } });
  expect(checked.error).toBeUndefined();
  expect(Buffer.from(checked.metadata.get('result.txt') ?? []).toString()).toStartWith(
    'Check complete, 2 warnings have been found!',
  );
  expect(Buffer.from(checked.metadata.get('result.statuscode') ?? []).toString()).toBe('1');
  const strict = await buildx({ dockerfile: `# check=error=true\n${dockerfile}` });
  expect(String(strict.error)).toContain('lint violation found for rules: FromAsCasing, JSONArgsRecommended');
}, 60_000);

test('what fails ends the Solve with its reason', async () => {
  const failed = await buildx({ dockerfile: `FROM ${IMG}\nRUN echo oops; exit 3\n` });
  expect(String(failed.error)).toContain(
    'process "/bin/sh -c echo oops; exit 3" did not complete successfully: exit code: 3',
  );
  expect(failed.messages.some(({ vertexes }) => vertexes.some(({ error }) => error !== ''))).toBe(true);
  const cases: readonly (readonly [Partial<Asked>, string])[] = [
    [{ options: { nonsense: '1' } }, 'the build option "nonsense" is not there'],
    [{ options: { requestid: 'frontend.nonsense' } }, 'the frontend\'s "frontend.nonsense" is not there'],
    [{ options: { 'attest:sbom': 'generator=x' } }, 'an SBOM generator of its own (x) is not run'],
    [{ exporters: [{ type: 'nonsense', attrs: new Map() }] }, 'the output type "nonsense" is not there'],
    [{ exporters: [{ type: 'oci', attrs: new Map([['tar', 'false']]) }] }, 'into a directory is not there'],
    [{ exporters: [{ type: 'image', attrs: new Map([['push', 'true']]) }] }, 'tag is needed when pushing'],
    [{ caches: [{ type: 'local', attrs: new Map([['dest', '/x']]) }] }, 'Content/Info not supported by the client'],
    [{ caches: [{ type: 'gha', attrs: new Map() }] }, 'cache exports of type=gha are not supported'],
    [{ entitlements: ['nonsense'] }, 'invalid entitlement: nonsense'],
  ];
  for (const [asked, why] of cases) {
    const { error } = await buildx({ dockerfile: `FROM ${IMG}\n`, ...asked });
    expect(String(error)).toContain(why);
  }
}, 120_000);

test('graphs: those that lead to files are read, others are refused by what they do', async () => {
  await using control = await openControl(d.socket);
  const graph = (operation: Buffer) => {
    const digest = `sha256:${createHash('sha256').update(operation).digest('hex')}`;
    const end = encode({ inputs: many(1, { digest: text(1), index: int(2) }) }, { inputs: [{ digest, index: 0 }] });
    return { operations: [operation, end], metadata: new Map() };
  };
  const source = { source: nested(3, { identifier: text(1), attrs: map(2, text) }) };
  const file = { file: nested(4, { actions: many(2, { input: int(1), rm: nested(7, { path: text(1) }) }) }) };
  const exec = { exec: nested(2, { meta: nested(1, { cwd: text(3) }) }) };
  const from = (identifier: string, fullUrl = '') =>
    encode(source, { source: { identifier, attrs: new Map(fullUrl === '' ? [] : [['git.fullurl', fullUrl]]) } });
  const refused: readonly (readonly [Buffer, string])[] = [
    [encode(exec, { exec: { meta: { cwd: '/' } } }), 'LLB with exec'],
    [from('docker-image://x'), 'LLB with the source "docker-image://x"'],
    [encode(file, { file: { actions: [{ input: -1, rm: { path: '/etc' } }] } }), 'LLB with rm'],
    [from('git://x', 'file:///etc'), 'invalid git address "file:///etc"'],
    [from('git://x', 'ext::sh -c id'), 'invalid git address'],
    [from('git://x/y#--upload-pack=id'), 'invalid git reference'],
    [from('http://127.0.0.1:1/..'), 'invalid name of a file'],
  ];
  for (const [operation, why] of refused) {
    const ref = newId();
    const outcome = ask(control, methods.solve, { ref, session: newId() }, never).then(
      () => '',
      (error: unknown) => String(error),
    );
    const request = { definition: graph(operation), resultReturn: true, referenceReturn: true };
    const told = await bridge(control, ref, gateway.frontendSolve, request).then(() => '', String);
    expect(told).toContain(why);
    await bridge(control, ref, gateway.frontendReturn, { error: { code: 2, message: told } });
    expect(await outcome).toContain(why);
  }
}, 60_000);

test('a client that goes ends its build', async () => {
  const control = await openControl(d.socket);
  const [ref, session] = [newId(), newId()];
  const shared = { dockerfile: { Dockerfile: `FROM ${IMG}\nRUN echo began; sleep 7654321\n` }, context: {} };
  await using _session = await openSession(d.socket, session, [directories(shared)]);
  using opened = await call(control, methods.status, { signal: never });
  const solving = ask(control, methods.solve, { ref, session, frontend: 'dockerfile.v0' }, never).catch(kindOf);
  await opened.send({ ref });
  await opened.end();
  for await (const { logs } of opened.answers()) if (logs.length > 0) break;
  await control[Symbol.asyncDispose]();
  expect(await solving).toBe('unavailable');
  // The next build of the same ref can only begin when the first has ended.
  await using again = await openControl(d.socket);
  const asked = { ref, session, frontend: 'nonsense' };
  let error = '';
  do {
    error = await ask(again, methods.solve, asked, never).then(() => '', String);
  } while (error.includes('exists'));
  expect(error).toContain('the frontend "nonsense" is not there');
}, 60_000);

test('the cache is listed and pruned', async () => {
  await buildx({ dockerfile: `FROM ${IMG}\nRUN echo for the cache > /c\n` });
  await using control = await openControl(d.socket);
  const { record } = await ask(control, methods.diskUsage, {}, never);
  expect(record.length).toBeGreaterThan(0);
  using opened = await call(control, methods.prune, { signal: never });
  await opened.send({ all: true });
  await opened.end();
  const gone: string[] = [];
  for await (const { id } of opened.answers()) gone.push(id);
  expect(gone.length).toBeGreaterThan(0);
}, 60_000);

test('builds that have ended are in the history, over a restart of the daemon too', async () => {
  const name = `history-${newId()}`;
  await buildx({ dockerfile: `FROM ${IMG}\nRUN echo told\n`, options: {}, exporters: named(`${name}:1`) });
  await buildx({ dockerfile: `FROM ${IMG}\nRUN echo oops; exit 3\n` });
  const listed = async (filter: readonly string[] = []) => {
    await using control = await openControl(d.socket);
    using opened = await call(control, history.listenBuildHistory, { signal: never });
    await opened.send({ earlyExit: true, filter });
    await opened.end();
    const records: MessageOf<typeof history.historyRecord>[] = [];
    for await (const { record } of opened.answers()) if (record !== undefined) records.push(record);
    return records;
  };
  await d.restart('SIGTERM');
  const [failed, done] = await listed();
  expect(done?.exporterResponse.get('image.name')).toBe(`docker.io/library/${name}:1`);
  expect(done?.error).toBeUndefined();
  expect(done?.completedSteps).toBeGreaterThan(2);
  expect(failed?.error?.message).toContain('exit code: 3');
  expect(failed?.error?.details[0]?.url).toEndWith('errdefs.Source+json');
  const ref = done?.ref ?? '';
  await using control = await openControl(d.socket);
  const logs = (await statusOf(control, ref)).flatMap((message) =>
    message.logs.map(({ msg }) => String(Buffer.from(msg))),
  );
  expect(logs).toEqual(['told\n']);
  expect((await listed(['status==error'])).every(({ error }) => error !== undefined)).toBe(true);
  await ask(control, history.updateBuildHistory, { ref, pinned: true }, never);
  expect((await listed([`ref==${ref}`]))[0]?.pinned).toBe(true);
  await ask(control, history.updateBuildHistory, { ref, delete: true }, never);
  expect(await listed([`ref==${ref}`])).toEqual([]);
  expect(await ask(control, history.updateBuildHistory, { ref, delete: true }, never).catch(kindOf)).toBe('not-found');
}, 60_000);

test('the status of what is over and in no history ends at once', async () => {
  await using control = await openControl(d.socket);
  const ref = newId();
  const solving = ask(control, methods.solve, { ref, session: newId(), internal: true }, never);
  await bridge(control, ref, gateway.frontendReturn, {});
  await solving;
  expect(await statusOf(control, ref)).toEqual([]);
}, 60_000);

test('who listens to the history is told of builds as they come', async () => {
  await buildx({ dockerfile: `FROM ${IMG}\n` });
  await using control = await openControl(d.socket);
  using opened = await call(control, history.listenBuildHistory, { signal: never });
  await opened.send({ limit: 1 });
  await opened.end();
  const { eventTypes } = history;
  const types: number[] = [];
  let building: Promise<unknown> | undefined;
  for await (const { type } of opened.answers()) {
    types.push(type);
    // The first is the one of before: from then on it listens.
    building ??= buildx({ dockerfile: `FROM ${IMG}\n` });
    if (types.length === 3) break;
  }
  await building;
  expect(types).toEqual([eventTypes.complete, eventTypes.started, eventTypes.complete]);
}, 60_000);
