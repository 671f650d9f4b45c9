import { expect, test } from 'bun:test';
import { parseSecrets } from './secret-request.ts';

test('podman’s defaults', () => {
  expect(parseSecrets([{ Source: 'a' }, { Source: 'b', Target: 'sub', UID: 1, GID: 2, Mode: 0o400 }])).toEqual([
    { kind: 'file', secret: 'a', target: '/run/secrets/a', uid: 0, gid: 0, mode: 0o444 },
    { kind: 'file', secret: 'b', target: '/run/secrets/sub', uid: 1, gid: 2, mode: 0o400 },
  ]);
  expect(parseSecrets([{ Source: 'a', Type: 'env' }])).toEqual([{ kind: 'env', secret: 'a', variable: 'a' }]);
  expect(parseSecrets([{ Source: 'a', Target: '/etc/x/../y' }])[0]).toMatchObject({ target: '/etc/y' });
});

test.each([
  [{ Source: '' }, 'must be named'],
  [{ Source: 'a', Type: 'file' }, 'type "file" is invalid'],
  [{ Source: 'a', Type: 'env', Mode: 1 }, 'mean nothing for a variable'],
  [{ Source: 'a', Type: 'env', Target: 'A=B' }, 'is no variable'],
  [{ Source: 'a', Target: '../x' }, 'leaves /run/secrets'],
  [{ Source: 'a', Target: '/proc/1/x' }, 'inside /proc'],
  [{ Source: 'a', Mode: 0o1777 }, 'mode 1777 is invalid'],
  [{ Source: 'a', UID: -1 }, '-1 is no id'],
])('%j is refused', (request, message) => {
  expect(() => parseSecrets([request])).toThrow(message);
});

test('two secrets cannot have one place', () => {
  expect(() => parseSecrets([{ Source: 'a' }, { Source: 'b', Target: 'a' }])).toThrow('two secrets have the target');
});
