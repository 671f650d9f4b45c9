/** Users and tokens: who gets in, and what the others are told. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { RegistryError } from '../errors.ts';
import { TestRegistry } from '../testing/test-registry.ts';
import type { Access, Authorizer } from './authorizer.ts';
import { Htpasswd } from './htpasswd.ts';
import { TokenAuthorizer } from './token.ts';

let directory = '';
let nowMs = 1_700_000_000_000;
const now = (): number => nowMs;
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-auth-'));
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

const pull: Access = { type: 'repository', name: 'a/b', action: 'pull' };
const push: Access = { type: 'repository', name: 'a/b', action: 'push' };
const requestOf = (authorization?: string): Request =>
  new Request('http://r.test:5000/v2/', authorization === undefined ? {} : { headers: { authorization } });
const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;

async function outcome(
  by: Authorizer,
  authorization: string | undefined,
  accesses: readonly Access[],
): Promise<string> {
  try {
    await by.authorize(requestOf(authorization), accesses);
    return 'in';
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    return `${error.code} ${error.headers['www-authenticate'] ?? ''}`;
  }
}

async function usersFile(users: Readonly<Record<string, string>>): Promise<string> {
  const file = path.join(directory, `users-${Math.random()}`);
  const lines = await Promise.all(
    Object.entries(users).map(async ([user, password]) => {
      const hash = await Bun.password.hash(password, { algorithm: 'bcrypt', cost: 4 });
      return `${user}:${hash.replace('$2b$', '$2y$')}\n`;
    }),
  );
  fs.writeFileSync(file, lines.join(''));
  return file;
}

test('users of an htpasswd file get in, others do not', async () => {
  const file = await usersFile({ ann: 'secret:with:colons', bob: 'x' });
  const users = new Htpasswd({ file, realm: 'a "quoted" realm', anonymousPull: false, now });
  const challenge = 'UNAUTHORIZED Basic realm="a \\"quoted\\" realm"';
  expect(await outcome(users, basic('ann', 'secret:with:colons'), [push])).toBe('in');
  expect(await outcome(users, basic('ann', 'secret:with:colons'), [])).toBe('in');
  for (const wrong of [undefined, basic('ann', 'x'), basic('eve', 'x'), basic('', ''), 'Basic !', 'Bearer x', 'x']) {
    expect(await outcome(users, wrong, [pull])).toBe(challenge);
  }
  // The file changes: who has gone is out, though remembered before.
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').split('\n').slice(1).join('\n'));
  nowMs += 2000;
  expect(await outcome(users, basic('ann', 'secret:with:colons'), [pull])).toBe(challenge);
  expect(await outcome(users, basic('bob', 'x'), [pull])).toBe('in');
  fs.writeFileSync(file, 'broken');
  nowMs += 2000;
  expect(await outcome(users, basic('bob', 'x'), [pull])).toBe('in');
});

test('an htpasswd file with anything but bcrypt is refused with its line', async () => {
  const file = path.join(directory, 'weak');
  for (const hash of ['{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=', '$apr1$x$y', 'plain', '']) {
    fs.writeFileSync(file, `# comment\n\nann:${hash}\n`);
    const read = (): Authorizer => new Htpasswd({ file, realm: '', anonymousPull: false, now });
    expect(read).toThrow('line 3 has no bcrypt hash');
  }
});

test('with anonymous reading, tokens are given that are good for reading only', async () => {
  const file = await usersFile({ ann: 'pw' });
  const users = new Htpasswd({ file, realm: 'r', anonymousPull: true, now });
  expect(await outcome(users, undefined, [pull])).toBe('in');
  const challenge = 'UNAUTHORIZED Bearer realm="http://r.test:5000/v2/_berth/token",service="r.test:5000"';
  expect(await outcome(users, undefined, [])).toBe(challenge);
  const tokenOf = async (authorization?: string): Promise<string> => {
    const answer: unknown = await (await users.token(requestOf(authorization))).json();
    return `Bearer ${String(Reflect.get(Object(answer), 'token'))}`;
  };
  const anonymous = await tokenOf();
  const ofAnn = await tokenOf(basic('ann', 'pw'));
  expect(await outcome(users, anonymous, [pull])).toBe('in');
  expect(await outcome(users, anonymous, [pull, push])).toBe(
    `${challenge},scope="repository:a/b:pull,push",error="insufficient_scope"`,
  );
  expect(await outcome(users, ofAnn, [pull, push])).toBe('in');
  expect(await outcome(users, anonymous.replace('anonymous', 'user'), [push])).toContain('invalid_token');
  const refused = await tokenOf(basic('ann', 'wrong')).catch(String);
  expect(refused).toContain('wrong user or password');
  nowMs += 301_000;
  expect(await outcome(users, ofAnn, [push])).toContain('invalid_token');
});

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

interface Made {
  readonly header?: Record<string, unknown>;
  readonly claims?: Record<string, unknown>;
  readonly key: KeyObject;
  readonly hash?: string | null;
}

function jwt({ header = {}, claims = {}, key, hash = 'sha256' }: Made): string {
  const seconds = nowMs / 1000;
  const access = [{ type: 'repository', name: 'a/b', actions: ['pull'] }];
  const body = { iss: 'issuer', aud: 'service', exp: seconds + 60, nbf: seconds, access, ...claims };
  const text = `${part({ typ: 'JWT', alg: 'ES256', ...header })}.${part(body)}`;
  const signature = sign(hash, Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
  return `Bearer ${text}.${signature}`;
}

test('a token of the right key, issuer and time is good for what it lists', async () => {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const ed = generateKeyPairSync('ed25519');
  const file = path.join(directory, 'keys.pem');
  fs.writeFileSync(file, [ec, rsa, ed].map((pair) => pair.publicKey.export({ type: 'spki', format: 'pem' })).join(''));
  const options = { realm: 'https://t.test/token', service: 'service', issuer: 'issuer', keyFile: file, now };
  const tokens = new TokenAuthorizer({ ...options, anonymousPull: false });
  const key = ec.privateKey;
  expect(await outcome(tokens, jwt({ key }), [pull])).toBe('in');
  expect(await outcome(tokens, jwt({ key }), [])).toBe('in');
  expect(await outcome(tokens, jwt({ key: rsa.privateKey, header: { alg: 'RS256' } }), [pull])).toBe('in');
  expect(await outcome(tokens, jwt({ key: ed.privateKey, header: { alg: 'EdDSA' }, hash: null }), [pull])).toBe('in');
  expect(await outcome(tokens, jwt({ key, claims: { aud: ['other', 'service'] } }), [pull])).toBe('in');
  const challenge = 'UNAUTHORIZED Bearer realm="https://t.test/token",service="service",scope="repository:a/b:pull"';
  expect(await outcome(tokens, undefined, [pull])).toBe(challenge);
  expect(await outcome(tokens, jwt({ key }), [push])).toContain('error="insufficient_scope"');
  expect(await outcome(tokens, jwt({ key }), [{ ...pull, name: 'a/b/c' }])).toContain('insufficient_scope');

  const seconds = nowMs / 1000;
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const good = jwt({ key });
  const [head = '', body = '', signature = ''] = good.split('.');
  const hmac = `Bearer ${part({ alg: 'HS256' })}.${body}`;
  const wrong: string[] = [
    jwt({ key: other }),
    jwt({ key, claims: { iss: 'other' } }),
    jwt({ key, claims: { aud: 'other' } }),
    jwt({ key, claims: { exp: seconds - 120 } }),
    jwt({ key, claims: { exp: undefined } }),
    jwt({ key, claims: { nbf: seconds + 120 } }),
    jwt({ key, header: { crit: ['x'] } }),
    jwt({ key, header: { alg: 'none' } }),
    jwt({ key, header: { alg: 'RS256' } }),
    `Bearer ${part({ alg: 'none' })}.${body}.`,
    `${hmac}.${signature}`,
    `${head}.${part({ iss: 'issuer', aud: 'service', exp: seconds + 60 })}.${signature}`,
    `${head}.${body}`,
    `${good}.x`,
    'Bearer x',
    basic('ann', 'pw'),
  ];
  for (const token of wrong) expect(await outcome(tokens, token, [pull])).toBe(`${challenge},error="invalid_token"`);

  const jwks = path.join(directory, 'keys.json');
  fs.writeFileSync(jwks, JSON.stringify({ keys: [{ ...ec.publicKey.export({ format: 'jwk' }), kid: '1' }] }));
  const byJwks = new TokenAuthorizer({ ...options, keyFile: jwks, anonymousPull: true });
  expect(await outcome(byJwks, jwt({ key }), [pull])).toBe('in');
  expect(await outcome(byJwks, undefined, [pull])).toBe('in');
  expect(await outcome(byJwks, undefined, [push])).toContain('UNAUTHORIZED Bearer');
  fs.writeFileSync(jwks, ec.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  expect(() => new TokenAuthorizer({ ...options, keyFile: jwks, anonymousPull: true })).toThrow('private key');
});

test('every endpoint asks for the right that it needs', async () => {
  const asked: string[] = [];
  const authorizer: Authorizer = {
    authorize: (_, accesses) => {
      asked.push(accesses.map(({ type, name, action }) => `${type}:${name}:${action}`).join(' '));
    },
  };
  using r = new TestRegistry({ authorizer });
  const digest = `sha256:${'0'.repeat(64)}`;
  const upload = `/v2/a/blobs/uploads/${'0'.repeat(32)}`;
  const wanted: [string, string, string][] = [
    ['GET', '/v2/', ''],
    ['GET', '/v2/_catalog', 'registry:catalog:*'],
    ['GET', '/', 'registry:catalog:*'],
    ['GET', '/-/a', 'registry:catalog:*'],
    ['POST', '/v2/_berth/collect', 'registry:catalog:*'],
    ['GET', '/v2/a/tags/list', 'repository:a:pull'],
    ['HEAD', '/v2/a/manifests/x', 'repository:a:pull'],
    ['GET', `/v2/a/referrers/${digest}`, 'repository:a:pull'],
    ['GET', `/v2/a/blobs/${digest}`, 'repository:a:pull'],
    ['PUT', '/v2/a/manifests/x', 'repository:a:pull repository:a:push'],
    ['DELETE', '/v2/a/manifests/x', 'repository:a:delete'],
    ['DELETE', `/v2/a/blobs/${digest}`, 'repository:a:delete'],
    ['GET', upload, 'repository:a:pull repository:a:push'],
    ['PATCH', upload, 'repository:a:pull repository:a:push'],
    ['DELETE', upload, 'repository:a:pull repository:a:push'],
  ];
  for (const [method, target, rights] of wanted) {
    asked.length = 0;
    await r.ask(method, target);
    expect(`${method} ${target} ${asked.join('|')}`).toBe(`${method} ${target} ${rights}`);
  }
  asked.length = 0;
  await r.ask('POST', `/v2/a/blobs/uploads/?mount=${digest}&from=b`);
  expect(asked).toEqual(['repository:a:pull repository:a:push', 'repository:b:pull']);
});
