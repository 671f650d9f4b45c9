import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type { HostConfig } from '#api/types/host-config.ts';
import type { ContainerRecord } from '#container/record.ts';
import { stockHostConfig } from '#container/testing/stock.ts';
import type { UserNamespace } from '#container/user-namespace.ts';
import { notFound } from '#errdefs/errors.ts';
import { allocate, DEFAULT_POOL, type Pool, poolOf } from './ranges.ts';
import { remapOf } from './remap.ts';
import { userNamespaceOf, type UsernsDefaults } from './resolve.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-userns-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

function files(content: { subuid?: string; subgid?: string; passwd?: string; group?: string }) {
  const at = (name: string, text: string | undefined): string => {
    const file = path.join(directory, name);
    if (text !== undefined) fs.writeFileSync(file, text);
    return file;
  };
  return {
    uids: at('subuid', content.subuid),
    gids: at('subgid', content.subgid),
    passwd: at('passwd', content.passwd ?? 'root:x:0:0::/:/bin/sh\nbob:x:1000:1000::/:/bin/sh\n'),
    group: at('group', content.group ?? 'root:x:0:\nbob:x:1000:\ncrew:x:2000:\n'),
  };
}

const mapping = (hostID: number, size = 65_536) => [{ containerID: 0, hostID, size }];
const range = (hostID: number, size?: number): UserNamespace => ({
  uids: mapping(hostID, size),
  gids: mapping(hostID, size),
});

describe('the pool of ranges', () => {
  test('is what the configuration says', () => {
    const pool = { uids: [{ start: 5, count: 10 }], gids: [{ start: 5, count: 10 }], from: 0 };
    expect(poolOf('5:10', files({}), 'x')).toEqual(pool);
    const given = files({ subuid: 'x:1:2\nbob:300:7\nbob:900:1\n', subgid: 'bob:400:8\n' });
    expect(poolOf('bob', given, undefined)).toEqual({
      uids: [
        { start: 300, count: 7 },
        { start: 900, count: 1 },
      ],
      gids: [{ start: 400, count: 8 }],
      from: 0,
    });
    for (const bad of ['0:10', '5:0', '4294967290:10', 'nobody'])
      expect(() => poolOf(bad, given, undefined)).toThrow('invalid value for "userns-pool"');
  });

  test('is else of the users berth or containers, else the default one', () => {
    const given = files({ subuid: 'containers:300:7\n# berth:1:1\n', subgid: 'containers:400:8\n' });
    expect(poolOf(undefined, given, undefined).uids).toEqual([{ start: 300, count: 7 }]);
    fs.rmSync(given.uids);
    expect(poolOf(undefined, given, undefined)).toEqual({ uids: [DEFAULT_POOL], gids: [DEFAULT_POOL], from: 0 });
    const from = poolOf(undefined, given, 'abc').from;
    expect(from).toBeGreaterThan(0);
    expect(from).toBeLessThan(1);
  });
});

describe('a range', () => {
  const pool: Pool = { uids: [{ start: 100, count: 30 }], gids: [{ start: 100, count: 30 }], from: 0 };

  test('overlaps no other, and is free when its container is gone', () => {
    expect(allocate(pool, [], 10)).toEqual(range(100, 10));
    expect(allocate(pool, [range(100, 10)], 10)).toEqual(range(110, 10));
    expect(allocate(pool, [range(110, 10)], 10)).toEqual(range(100, 10));
    expect(allocate(pool, [range(95, 10), range(118, 2)], 10)).toEqual(range(105, 10));
    expect(allocate(pool, [range(112, 1), range(101, 1)], 10)).toEqual(range(102, 10));
    expect(() => allocate(pool, [range(100, 25)], 10)).toThrow('no range of 10 ids is free');
    expect(() => allocate(pool, [], 31)).toThrow('no range of 31 ids is free');
  });

  test('is sought from where the pool begins for this daemon, and everywhere', () => {
    const rotated = { ...pool, from: 0.67 };
    expect(allocate(rotated, [], 10)).toEqual(range(120, 10));
    expect(allocate(rotated, [range(120, 10)], 10)).toEqual(range(100, 10));
    expect(allocate(rotated, [range(120, 10), range(100, 10)], 10)).toEqual(range(110, 10));
  });

  test('a thousand of them do not touch', () => {
    const taken: UserNamespace[] = [];
    const wide = poolOf(undefined, files({}), 'some');
    for (let i = 0; i < 1000; i++) taken.push(allocate(wide, taken, 65_536));
    const starts = taken.map(({ uids }) => uids[0]?.hostID ?? 0).sort((a, b) => a - b);
    expect(starts.every((start, i) => i === 0 || start >= (starts[i - 1] ?? 0) + 65_536)).toBe(true);
    expect(starts[0]).toBeGreaterThanOrEqual(DEFAULT_POOL.start);
  });
});

describe('userns-remap', () => {
  const given = () =>
    files({ subuid: 'bob:100000:10\n1000:200000:5\n', subgid: 'bob:100000:10\ncrew:300000:7\nalice:1:1' });

  test('takes the subordinate ids of user and group', () => {
    const uids = [
      { containerID: 0, hostID: 100_000, size: 10 },
      { containerID: 10, hostID: 200_000, size: 5 },
    ];
    for (const setting of ['bob', '1000', 'bob:1000'])
      expect(remapOf(setting, given())).toEqual({ uids, gids: mapping(100_000, 10) });
    expect(remapOf('1000:crew', given())).toEqual({ uids, gids: mapping(300_000, 7) });
  });

  test('root is no remapping', () => expect(remapOf('root', given())).toBeUndefined());

  test('default gets a range behind all others, once', () => {
    expect(remapOf('default', given())).toEqual({ uids: mapping(200_005), gids: mapping(300_007) });
    const empty = files({ subuid: '', subgid: '' });
    expect(remapOf('default', empty)).toEqual(range(100_000));
    expect(remapOf('default', empty)).toEqual(range(100_000));
    expect(fs.readFileSync(empty.uids, 'utf8')).toBe('dockremap:100000:65536\n');
  });

  const bad: readonly (readonly [string, string])[] = [
    ['a:b:c', 'Invalid user/group specification in --userns-remap: "a:b:c"'],
    ['bob:', 'Invalid user/group specification'],
    ['eve', 'Error during uid lookup for "eve"'],
    ['77', 'Uid 77 has no entry in'],
    ['bob:77', 'Gid 77 has no entry in'],
    ['bob:eve', 'Error during gid lookup for "eve"'],
  ];
  for (const [setting, message] of bad)
    test(`"${setting}" is refused`, () => expect(() => remapOf(setting, given())).toThrow(message));

  test('a user without ranges is refused', () => {
    expect(() => remapOf('bob', files({ subuid: '', subgid: '' }))).toThrow('no subuid ranges found for user "bob"');
    expect(() => remapOf('bob', files({ subuid: 'bob:1:1', subgid: '' }))).toThrow(
      'no subgid ranges found for group "bob"',
    );
  });
});

describe('which namespace a container gets', () => {
  const pool: Pool = { uids: [{ start: 1000, count: 1e6 }], gids: [{ start: 1000, count: 1e6 }], from: 0 };
  // as: of a record only these fields matter here.
  const records = [
    { id: 'plain', userns: undefined },
    { id: 'mapped', userns: range(1000) },
    { id: 'joined', userns: { ...range(1000), container: 'mapped' } },
    { id: 'alike', userns: range(1000) },
  ] as unknown as ContainerRecord[];
  const choose = (host: Partial<HostConfig>, remap?: UsernsDefaults['remap']) =>
    userNamespaceOf(
      {
        containers: {
          everything: () => records,
          resolve: (name) => {
            const record = records.find(({ id }) => id === name);
            if (record === undefined) throw notFound(`No such container: ${name}`);
            return record;
          },
        },
        userns: { remap, pool },
      },
      { ...stockHostConfig, NetworkMode: 'bridge', ...host },
    );

  test('the default, none, or one of its own', () => {
    expect(choose({})).toBeUndefined();
    expect(choose({}, range(7))).toEqual(range(7));
    expect(choose({ UsernsMode: 'host' }, range(7))).toBeUndefined();
    expect(choose({ UsernsMode: 'auto' })).toEqual(range(1000 + 65_536));
    expect(choose({}, 'auto')).toEqual(range(1000 + 65_536));
    expect(choose({ UsernsMode: 'auto' }, range(66_000, 10))).toEqual(range(66_536));
  });

  test('who joins a namespace joins its user namespace', () => {
    const joined = { ...range(1000), container: 'mapped' };
    expect(choose({ NetworkMode: 'container:mapped' })).toEqual(joined);
    expect(choose({ PidMode: 'container:mapped' }, 'auto')).toEqual(joined);
    expect(choose({ UsernsMode: 'container:mapped', NetworkMode: 'container:mapped' })).toEqual(joined);
    expect(choose({ NetworkMode: 'container:joined', PidMode: 'container:mapped' })).toEqual({
      ...range(1000),
      container: 'joined',
    });
    expect(choose({ UsernsMode: 'container:plain' })).toBeUndefined();
    expect(choose({ NetworkMode: 'container:plain' }, range(7))).toBeUndefined();
    for (const host of [
      { UsernsMode: 'auto', NetworkMode: 'container:mapped' },
      { UsernsMode: 'host', NetworkMode: 'container:mapped' },
      { UsernsMode: 'container:mapped', NetworkMode: 'container:plain' },
      { NetworkMode: 'container:mapped', PidMode: 'container:plain' },
      { NetworkMode: 'container:mapped', PidMode: 'container:alike' },
    ])
      expect(() => choose(host)).toThrow('it has another user namespace');
    expect(() => choose({ UsernsMode: 'container:gone' })).toThrow('joining user namespace of container');
  });

  test('parts of the host are refused in dockerd’s words', () => {
    const auto = { UsernsMode: 'auto' };
    expect(() => choose({ ...auto, Privileged: true })).toThrow(
      'privileged mode is incompatible with user namespaces.  You must run the container in the host namespace',
    );
    expect(() => choose({ NetworkMode: 'host' }, range(7))).toThrow(
      "cannot share the host's network namespace when user namespaces are enabled",
    );
    expect(() => choose({ ...auto, PidMode: 'host' })).toThrow(
      'cannot share the host PID namespace when user namespaces are enabled',
    );
    expect(() => choose({ ...auto, IpcMode: 'host' })).toThrow("cannot share the host's IPC namespace");
    expect(() => choose({ ...auto, Runtime: 'runc' })).toThrow('Runtime "runc" cannot be used with a user namespace');
    expect(choose({ Privileged: true, UsernsMode: 'host' }, range(7))).toBeUndefined();
  });
});
