/** What clients do at the edges of a container's life, and what they then count on. By the stock docker CLI and the API. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(async () => {
  await d[Symbol.asyncDispose]();
}, 60_000);

const must = (...args: string[]) => d.must(args);
const api = (method: string, address: string, init: RequestInit = {}) =>
  fetch(`http://berth${address}`, { ...init, unix: d.socket, method });

const leave = (request: Promise<unknown>): Promise<string> =>
  request.then(
    () => 'answered',
    () => 'left',
  );

test('logs that are followed from the start on miss nothing of a container that ends at once', async () => {
  const body = JSON.stringify({ Image: IMG, Cmd: ['echo', 'hello'], HostConfig: { NetworkMode: 'none' } });
  const follow = async (): Promise<string> => {
    const created = await api('POST', '/containers/create', { body, headers: { 'Content-Type': 'application/json' } });
    // as: the answer of a create.
    const { Id } = (await created.json()) as { Id: string };
    await api('POST', `/containers/${Id}/start`);
    const logs = await api('GET', `/containers/${Id}/logs?follow=1&stdout=1&stderr=1`);
    const text = await logs.text();
    await api('DELETE', `/containers/${Id}?force=1`);
    return text;
  };
  for (let round = 0; round < 25; round++) {
    for (const text of await Promise.all([follow(), follow(), follow(), follow()])) expect(text).toEndWith('hello\n');
  }
}, 120_000);

test('logs from a time in the future on', async () => {
  const loop = 'for n in 1 2 3 4 5 6; do echo $n; sleep 0.5; done';
  await must('run', '-d', '--name', 'later', '--network', 'none', IMG, 'sh', '-c', loop);
  const since = Math.floor(Date.now() / 1000) + 2;
  const lines = (await must('logs', '-f', '-t', '--since', String(since), 'later')).split('\n');
  expect(lines.at(-1)).toEndWith(' 6');
  for (const line of lines) expect(Date.parse(line.split(' ')[0] ?? '')).toBeGreaterThanOrEqual(since * 1000);
  await must('rm', '-f', 'later');
});

test('a restart goes on when its client does not wait for it, and a stop keeps its patience', async () => {
  const stubborn = 'trap "" TERM; while true; do sleep 0.1; done';
  const id = await must('run', '-d', '--name', 'stubborn', '--network', 'none', IMG, 'sh', '-c', stubborn);
  const gone = AbortSignal.timeout(200);
  expect(await leave(api('POST', `/containers/${id}/restart?t=1`, { signal: gone }))).toBe('left');
  await eventually('it is restarted', async () => {
    const until = String(Date.now() / 1000);
    const events = ['events', '--until', until, '--filter', `container=${id}`, '--format', '{{.Action}}'];
    return (await must(...events)).split('\n').includes('restart');
  });
  expect(await must('inspect', '-f', '{{.State.Status}}', id)).toBe('running');
  expect(await leave(api('POST', `/containers/${id}/stop?t=3600`, { signal: AbortSignal.timeout(200) }))).toBe('left');
  expect(await must('inspect', '-f', '{{.State.Status}}', id)).toBe('running');
  await must('rm', '-f', id);
});

test('events up to a time are told from the first on', async () => {
  await must('run', '--name', 'told', '--network', 'none', IMG, 'true');
  const until = String(Date.now() / 1000);
  const actions = await must('events', '--until', until, '--filter', 'container=told', '--format', '{{.Action}}');
  expect(actions.split('\n').slice(0, 2)).toEqual(['create', 'attach']);
  await must('rm', 'told');
});

test('a container that waits for its next start can be killed, and does not start again', async () => {
  await must('run', '-d', '--name', 'again', '--restart', 'always', '--network', 'none', IMG, 'false');
  await eventually('it waits', async () => (await must('inspect', '-f', '{{.State.Restarting}}', 'again')) === 'true');
  let killed = await d.docker(['kill', 'again']);
  // It may just have been started, and ended before the signal.
  while (killed.code !== 0) killed = await d.docker(['kill', 'again']);
  await eventually('it is over', async () => (await must('inspect', '-f', '{{.State.Status}}', 'again')) === 'exited');
  await must('rm', '-f', 'again');
});

test('the working directory is there from the create on', async () => {
  await must('create', '--name', 'works', '--workdir', '/work/of/mine', IMG, 'cat', 'file');
  const file = path.join(d.directory, 'file');
  fs.writeFileSync(file, 'copied');
  await must('cp', file, 'works:/work/of/mine/');
  expect(await must('start', '-a', 'works')).toBe('copied');
  await must('rm', 'works');
});

test('`.` and `/.` with slashes after them are the directory’s content', async () => {
  const id = await must('create', IMG, 'true');
  for (const asked of ['./', '/./', '/etc/./', '/etc/.']) {
    const answer = await api('GET', `/containers/${id}/archive?path=${encodeURIComponent(asked)}`);
    // The name is what an entry of a tar begins with.
    expect([asked, (await answer.text()).slice(0, 3)]).toEqual([asked, './\0']);
  }
  await must('rm', id);
});

test('a repository is saved with all its tags, also without the default one', async () => {
  for (const tag of ['one', 'two']) await must('tag', IMG, `berth.test/tagged:${tag}`);
  const archive = path.join(d.directory, 'tagged.tar');
  await must('save', '-o', archive, 'berth.test/tagged');
  await must('rmi', 'berth.test/tagged:one', 'berth.test/tagged:two');
  const loaded = (await must('load', '-i', archive)).split('\n').toSorted();
  expect(loaded).toEqual(['Loaded image: berth.test/tagged:one', 'Loaded image: berth.test/tagged:two']);
  const refused = await d.docker(['tag', IMG, 'sha256:latest']);
  expect(refused.stderr).toContain('refusing to create an ambiguous tag using digest algorithm as name');
});

test('output of an exec comes in frames unless its start asks for a terminal’s', async () => {
  const id = await must('run', '-d', '--network', 'none', IMG, 'sleep', '1000');
  const post = (address: string, body: object) =>
    api('POST', address, { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } });
  const outputOf = async (Tty: boolean): Promise<string> => {
    const created = await post(`/containers/${id}/exec`, { Cmd: ['echo', 'x'], AttachStdout: true, Tty: true });
    // as: the answer of a create.
    const { Id } = (await created.json()) as { Id: string };
    return (await post(`/exec/${Id}/start`, { Detach: false, Tty })).text();
  };
  expect(await outputOf(false)).toBe('\u0001\0\0\0\0\0\0\u0003x\r\n');
  expect(await outputOf(true)).toBe('x\r\n');
  await must('rm', '-f', id);
});

test('the hosts file has a full name and its first part; ports of another container’s network are refused', async () => {
  const hosts = await must('run', '--rm', '--hostname', 'a.b.example', IMG, 'cat', '/etc/hosts');
  expect(hosts).toContain('\ta.b.example a\n'.trimEnd());
  const id = await must('run', '-d', IMG, 'sleep', '1000');
  const refused = await d.docker(['run', '--network', `container:${id}`, '-p', '5000:5000', IMG]);
  expect(refused.stderr).toContain('conflicting options: port publishing and the container type network mode');
  const exposing = await d.docker(['run', '--network', `container:${id}`, '--expose', '5000', IMG]);
  expect(exposing.stderr).toContain('conflicting options: port exposing and the container type network mode');
  await must('rm', '-f', id);
});

test('ports by which containers are listed: the host’s published ones, exposed ones in a range', async () => {
  const id = await must('run', '-d', '-p', '127.0.0.1:29471:80', '--expose', '8080', IMG, 'sleep', '1000');
  const listed = async (filter: string) => (await must('ps', '-q', '--no-trunc', '--filter', filter)) === id;
  expect(await listed('publish=29471')).toBeTrue();
  expect(await listed('publish=80')).toBeFalse();
  expect(await listed('expose=80/tcp')).toBeTrue();
  expect(await listed('expose=8000-8090/tcp')).toBeTrue();
  expect(await listed('expose=8081')).toBeFalse();
  await must('rm', '-f', id);
});

test('an image from an address: also compressed; what is not there is an error', async () => {
  const id = await must('create', IMG, 'true');
  const tree = path.join(d.directory, 'tree.tar');
  await must('export', '-o', tree, id);
  await must('rm', id);
  const packed = Bun.gzipSync(fs.readFileSync(tree));
  using server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: ({ url }) => (url.endsWith('/tree.tar.gz') ? new Response(packed) : new Response('', { status: 404 })),
  });
  const address = `http://127.0.0.1:${server.port}`;
  const imported = await must('import', '-c', 'CMD ["echo","from afar"]', `${address}/tree.tar.gz`, 'berth.test/afar');
  expect(imported).toContain(`Downloading from ${address}/tree.tar.gz`);
  expect(await must('run', '--rm', '--network', 'none', 'berth.test/afar')).toBe('from afar');
  const missing = await d.docker(['import', `${address}/missing.tar`]);
  expect(missing.code).toBe(1);
  expect(missing.stderr).toContain('invalid response status 404');
  await must('rmi', 'berth.test/afar');
});
