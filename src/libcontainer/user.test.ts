import { describe, expect, test } from 'bun:test';
import { homeOf, resolveUser } from './user.ts';

const files = {
  passwd: [
    'root:x:0:0:root:/root:/bin/sh',
    'bob:x:1000:1001::/home/bob:/bin/sh',
    '# comment',
    'broken',
    '1234:x:0:0::/evil:/bin/sh',
    'big:x:99999999999:0::/:/bin/sh',
  ].join('\n'),
  group: 'root:x:0:\nbob:x:1001:\nvideo:x:44:alice,bob\nwheel:x:10:root\n77:x:0:bob\n',
};
const resolve = (user: string, more: string[] = []) => resolveUser(user, files, more);

describe('user of a container', () => {
  const cases: readonly (readonly [string, number, number, readonly number[]])[] = [
    ['', 0, 0, [10]],
    ['root', 0, 0, [10]],
    ['bob', 1000, 1001, [44, 0]],
    ['1000', 1000, 1001, [44, 0]],
    ['2000', 2000, 0, []],
    ['bob:video', 1000, 44, []],
    ['bob:5', 1000, 5, []],
    ['7:8', 7, 8, []],
    // An entry named like a number never makes that number somebody else.
    ['1234', 1234, 0, []],
    ['bob:77', 1000, 77, []],
  ];
  for (const [user, uid, gid, groups] of cases)
    test(`"${user}" is ${uid}:${gid}`, () => {
      expect(resolve(user)).toMatchObject({ uid, gid });
      expect(new Set(resolve(user).additionalGids)).toEqual(new Set(groups));
    });

  test('groups to add by name and number', () => {
    expect(new Set(resolve('bob', ['wheel', '9']).additionalGids)).toEqual(new Set([0, 9, 10, 44]));
  });

  test('what is in no file or out of range is an error', () => {
    expect(() => resolve('eve')).toThrow('unable to find user eve: no matching entries in passwd file');
    expect(() => resolve('bob:eve')).toThrow('unable to find group eve: no matching entries in group file');
    expect(() => resolve('broken')).toThrow('unable to find user broken');
    expect(() => resolve('big')).toThrow('unable to find user big');
    expect(() => resolve('4294967296')).toThrow('uids and gids must be in range 0-2147483647');
    expect(() => resolve('0:4294967296')).toThrow('uids and gids must be in range 0-2147483647');
    expect(() => resolve('-1')).toThrow('uids and gids must be in range 0-2147483647');
  });

  test('home by uid', () => {
    expect(homeOf(1000, files.passwd)).toBe('/home/bob');
    expect(homeOf(3000, files.passwd)).toBe('');
  });
});
