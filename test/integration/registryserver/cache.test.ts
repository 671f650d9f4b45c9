/** The pull-through cache before another registry: dockerd and skopeo pull through it, also when that is gone. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { busyboxImage } from '../../support/base-images.ts';
import { must, run } from '../../support/command.ts';
import { Dockerd } from '../../support/dockerd.ts';
import { RegistryProcess } from '../../support/registry-server.ts';

let dockerd: Dockerd;
let upstream: RegistryProcess;
beforeAll(async () => {
  dockerd = await Dockerd.start();
  upstream = await RegistryProcess.start();
  const archive = `docker-archive:${(await busyboxImage()).path}`;
  for (const name of ['library/app:1', 'team/tool:2']) {
    await must('skopeo', ['copy', '-q', '--dest-tls-verify=false', archive, `docker://${upstream.host}/${name}`]);
  }
}, 400_000);
afterAll(async () => {
  await dockerd?.[Symbol.asyncDispose]();
  await upstream?.[Symbol.asyncDispose]();
}, 60_000);

const digestIn = (text: string): string => /sha256:[0-9a-f]{64}/.exec(text)?.[0] ?? '';

async function pull(image: string): Promise<{ readonly digest: string; readonly error: string }> {
  const { stdout, stderr } = await dockerd.docker(['pull', image]);
  await dockerd.docker(['rmi', '-f', image]);
  return { digest: digestIn(/Digest: .*/.exec(stdout)?.[0] ?? ''), error: stderr };
}

test('docker pulls through the cache, and again when the upstream is gone: flagged stale, by the same digest', async () => {
  await using cache = await RegistryProcess.start(['--proxy', upstream.url, '--proxy-fresh', '0s']);
  const inspected = await must('skopeo', ['inspect', '--tls-verify=false', `docker://${upstream.host}/library/app:1`]);
  const digest = digestIn(/"Digest": .*/.exec(inspected)?.[0] ?? '');
  expect((await pull(`${cache.host}/library/app:1`)).digest).toBe(digest);
  expect(await must('skopeo', ['list-tags', '--tls-verify=false', `docker://${cache.host}/team/tool`])).toContain(
    '"2"',
  );
  expect((await pull(`${cache.host}/library/app:none`)).error).toContain('manifest unknown');
  await upstream.ended('SIGTERM');
  try {
    const stale = await cache.fetch('/v2/library/app/manifests/1', { method: 'HEAD' });
    expect([stale.status, stale.headers.get('berth-stale')]).toEqual([200, 'true']);
    expect((await pull(`${cache.host}/library/app:1`)).digest).toBe(digest);
    // The server itself may be killed meanwhile.
    await cache.ended('SIGKILL');
    await cache.launch();
    expect((await pull(`${cache.host}/library/app@${digest}`)).error).toBe('');
    expect((await pull(`${cache.host}/team/tool:2`)).error).toContain('503 Service Unavailable');
  } finally {
    await upstream.launch();
  }
  expect((await pull(`${cache.host}/team/tool:2`)).digest).toBe(digest);
}, 120_000);

test('an upstream that has had enough: what is here goes on, what is not is told', async () => {
  let limited = false;
  const front = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      if (limited) return new Response('{}', { status: 429, headers: { 'retry-after': '3600' } });
      const { pathname, search } = new URL(request.url);
      return fetch(upstream.url + pathname + search, { method: request.method, headers: request.headers });
    },
  });
  try {
    await using cache = await RegistryProcess.start([
      '--proxy',
      `http://127.0.0.1:${front.port}`,
      '--proxy-fresh',
      '0s',
    ]);
    const { digest } = await pull(`${cache.host}/library/app:1`);
    limited = true;
    expect((await pull(`${cache.host}/library/app:1`)).digest).toBe(digest);
    const stale = await cache.fetch('/v2/library/app/manifests/1');
    expect(stale.headers.get('warning')).toContain('Response is Stale');
    const refused = await cache.fetch('/v2/team/tool/manifests/2');
    expect([refused.status, digestIn(await refused.text())]).toEqual([429, '']);
  } finally {
    await front.stop(true);
  }
}, 120_000);

test('an upstream that answers no more: what is here is served, and nobody waits for ever', async () => {
  let silent = false;
  const held: PromiseWithResolvers<void>[] = [];
  const front = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      if (silent) {
        const hold = Promise.withResolvers<void>();
        held.push(hold);
        await hold.promise;
      }
      const { pathname, search } = new URL(request.url);
      return fetch(upstream.url + pathname + search, { method: request.method, headers: request.headers });
    },
  });
  try {
    const proxy = `http://127.0.0.1:${front.port}`;
    await using cache = await RegistryProcess.start(['--proxy', proxy, '--proxy-fresh', '0s']);
    expect((await cache.fetch('/v2/library/app/manifests/1')).status).toBe(200);
    silent = true;
    const stale = await cache.fetch('/v2/library/app/manifests/1');
    expect([stale.status, stale.headers.get('berth-stale')]).toEqual([200, 'true']);
  } finally {
    for (const hold of held) hold.resolve();
    await front.stop(true);
  }
}, 120_000);

test('users of the upstream by a file of credentials, prefixes beside repositories of our own', async () => {
  await using guarded = await RegistryProcess.start(async (at) => {
    const hash = await Bun.password.hash('pw', { algorithm: 'bcrypt', cost: 4 });
    await Bun.write(`${at}/users`, `ann:${hash}\n`);
    return ['--htpasswd', `${at}/users`];
  });
  const archive = `docker-archive:${(await busyboxImage()).path}`;
  const into = ['--dest-tls-verify=false', archive];
  await must('skopeo', ['copy', '-q', '--dest-creds', 'ann:pw', ...into, `docker://${guarded.host}/secret/app:1`]);
  await using cache = await RegistryProcess.start(async (at) => {
    await Bun.write(`${at}/auth.json`, JSON.stringify({ auths: { [guarded.host]: { auth: btoa('ann:pw') } } }));
    const proxies = [`guarded.test=${guarded.url}`, `open.test=${upstream.url}`].flatMap((one) => ['--proxy', one]);
    return [...proxies, '--proxy-credentials', `${at}/auth.json`];
  });
  expect((await pull(`${cache.host}/guarded.test/secret/app:1`)).error).toBe('');
  expect((await pull(`${cache.host}/open.test/team/tool:2`)).error).toBe('');
  await must('skopeo', ['copy', '-q', ...into, `docker://${cache.host}/own/app:1`]);
  const refused = await run('skopeo', ['copy', '-q', ...into, `docker://${cache.host}/open.test/own:1`]);
  expect(refused.stderr).toContain('cache of another registry');
  const mirrored = await cache.fetch('/v2/secret/app/manifests/1?ns=guarded.test', { method: 'HEAD' });
  expect(mirrored.status).toBe(200);
}, 120_000);
