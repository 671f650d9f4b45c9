/** What whoever runs a registry does with it: a token service, collecting, read-only, wrong options. */
import { expect, test } from 'bun:test';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { busyboxImage } from '../../support/base-images.ts';
import { must, run } from '../../support/command.ts';
import { RegistryProcess } from '../../support/registry-server.ts';

const berth = path.resolve(import.meta.dirname, '../../../berth');

interface Claim {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

/** As Docker's: `ann` may do everything, nobody may pull what is `public/…`. */
function tokenService(key: KeyObject): Bun.Server<undefined> {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      const { searchParams } = new URL(request.url);
      const authorization = request.headers.get('authorization');
      const isAnn = authorization === `Basic ${btoa('ann:pw')}`;
      if (authorization !== null && !isAnn) return new Response('{}', { status: 401 });
      const access = searchParams.getAll('scope').flatMap((scopes) =>
        scopes.split(' ').flatMap((scope): Claim[] => {
          const [type = '', name = '', actions = ''] = scope.split(':');
          const asked = actions.split(',');
          const granted = isAnn ? asked : asked.filter((action) => action === 'pull' && name.startsWith('public/'));
          return granted.length === 0 ? [] : [{ type, name, actions: granted }];
        }),
      );
      const now = Math.floor(Date.now() / 1000);
      const claims = { iss: 'test', aud: searchParams.get('service'), exp: now + 300, nbf: now - 5, access };
      const text = `${part({ alg: 'ES256', typ: 'JWT' })}.${part(claims)}`;
      const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
      return Response.json({ token: `${text}.${signature}` });
    },
  });
}

test('a token service decides who may push and pull what', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const service = tokenService(privateKey);
  try {
    await using registry = await RegistryProcess.start((at) => {
      fs.writeFileSync(path.join(at, 'key.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
      const realm = `http://127.0.0.1:${service.port}/token`;
      const key = ['--token-key', path.join(at, 'key.pem')];
      return ['--token-realm', realm, '--token-service', 'registry.test', '--token-issuer', 'test', ...key];
    });
    const archive = `docker-archive:${(await busyboxImage()).path}`;
    const push = (name: string, ...options: string[]) =>
      run('skopeo', [
        'copy',
        '-q',
        '--dest-tls-verify=false',
        ...options,
        archive,
        `docker://${registry.host}/${name}`,
      ]);
    const inspect = (name: string, ...options: string[]) =>
      run('skopeo', ['inspect', '--tls-verify=false', ...options, `docker://${registry.host}/${name}`]);
    expect((await push('public/app:1')).code).not.toBe(0);
    expect((await push('public/app:1', '--dest-creds', 'ann:wrong')).code).not.toBe(0);
    for (const name of ['public/app:1', 'private/app:1']) {
      const { code, stderr } = await push(name, '--dest-creds', 'ann:pw');
      expect([code, stderr]).toEqual([0, '']);
    }
    expect((await inspect('public/app:1')).code).toBe(0);
    expect((await inspect('private/app:1')).code).not.toBe(0);
    expect((await inspect('private/app:1', '--creds', 'ann:pw')).code).toBe(0);
  } finally {
    await service.stop(true);
  }
}, 60_000);

test('berth registry collect: what it would remove, then what it has removed, while the server serves', async () => {
  await using registry = await RegistryProcess.start(['--gc-grace', '0s']);
  await registry.push('app', Buffer.alloc(100_000, 'garbage'));
  const collect = (...args: string[]): Promise<string> => must(berth, ['registry', 'collect', ...args, registry.url]);
  expect(await collect('--dry-run')).toBe('Would remove 0 manifests, 1 blobs (100kB), 0 uploads');
  expect(await collect()).toBe('Removed 0 manifests, 1 blobs (100kB), 0 uploads');
  expect(await collect()).toBe('Removed 0 manifests, 0 blobs (0B), 0 uploads');
  expect(fs.readdirSync(path.join(registry.root, 'blobs/sha256'))).toEqual([]);
}, 60_000);

test('read-only: what is there is served, nothing is changed', async () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-readonly-'));
  try {
    let digest = '';
    {
      await using registry = await RegistryProcess.start([], { root });
      digest = await registry.push('app', Buffer.from('content'));
    }
    await using registry = await RegistryProcess.start(['--read-only', '--no-page'], { root });
    expect(await (await registry.fetch(`/v2/app/blobs/${digest}`)).text()).toBe('content');
    const refused = await registry.fetch('/v2/app/blobs/uploads/', { method: 'POST' });
    expect([refused.status, await refused.text()]).toEqual([405, expect.stringContaining('read-only') as string]);
    expect((await registry.fetch('/')).status).toBe(404);
    const second = await run(berth, ['registry', 'serve', '--root', root, '--listen', '127.0.0.1:0']);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain('another process uses it');
    const taken = await run(berth, ['registry', 'serve', '--root', `${root}-2`, '--listen', registry.host]);
    expect(taken.stderr).toContain(`Cannot listen on "${registry.host}"`);
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
    fs.rmSync(`${root}-2`, { recursive: true, force: true });
  }
}, 60_000);

test('wrong flags are told by name, and help has all of them', async () => {
  const serve = (...args: string[]) => run(berth, ['registry', 'serve', ...args]);
  expect((await serve('--nonsense')).stderr).toContain('unknown flag: --nonsense');
  expect((await serve('--nonsense')).code).toBe(125);
  expect((await serve('--htpasswd', '/nonexistent')).stderr).toContain('Cannot read the htpasswd file "/nonexistent"');
  expect((await serve('--proxy', 'ftp://x')).stderr).toContain('invalid value for "proxy"');
  expect((await serve('--gc-grace', 'soon')).stderr).toContain('invalid value for "gc-grace"');
  const help = await serve('--help');
  expect([help.code, help.stdout]).toEqual([0, expect.stringContaining('--anonymous-pull') as string]);
  expect((await run(berth, ['registry', 'nonsense'])).code).toBe(1);
}, 60_000);
