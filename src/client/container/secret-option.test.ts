import { expect, test } from 'bun:test';
import { parseSecret } from './secret-option.ts';

test.each([
  ['token', { Source: 'token' }],
  ['source=token', { Source: 'token' }],
  ['token,type=env,target=TOKEN', { Source: 'token', Type: 'env', Target: 'TOKEN' }],
  ['token,uid=1,gid=2,mode=0400,target=/x', { Source: 'token', UID: 1, GID: 2, Mode: 0o400, Target: '/x' }],
])('%s', (text, secret) => {
  expect(parseSecret(text)).toEqual(secret);
});

test.each([
  ['', 'no secret is named'],
  ['type=env', 'no secret is named'],
  ['token,readonly', 'must be key=value'],
  ['token,odd=1', 'invalid secret option "odd"'],
  ['token,type=file', 'type "file" is invalid'],
  ['token,uid=root', 'invalid uid "root"'],
  ['token,mode=9', 'invalid mode "9"'],
  ['token,type=env,mode=0400', 'cannot be set with secret type env'],
])('%s is refused', (text, message) => {
  expect(() => parseSecret(text)).toThrow(message);
});
