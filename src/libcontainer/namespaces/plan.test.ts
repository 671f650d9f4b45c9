import { describe, expect, test } from 'bun:test';
import { CLONE } from '#sys/numbers.ts';
import type { Namespace } from '../spec.ts';
import { planNamespaces } from './plan.ts';

const plan = (namespaces: Namespace[], cgroupVersion: 1 | 2 = 1, clocksShifted = false) =>
  planNamespaces([{ type: 'mount' }, ...namespaces], { cgroupVersion, clocksShifted });

describe('namespaces of a container', () => {
  test('new ones come with the one clone', () => {
    const { firstFlags, secondFlags, joins } = plan([{ type: 'pid' }, { type: 'network' }]);
    expect(firstFlags).toBe(CLONE.NEWNS | CLONE.NEWPID | CLONE.NEWNET);
    expect(secondFlags).toBeUndefined();
    expect(joins).toEqual([]);
  });

  test('a joined network needs no second clone', () => {
    const made = plan([{ type: 'pid' }, { type: 'network', path: '/proc/7/ns/net' }]);
    expect(made.secondFlags).toBeUndefined();
    expect(made.joins).toEqual([{ type: 'network', path: '/proc/7/ns/net', flag: CLONE.NEWNET }]);
    expect(made.own.has('network')).toBe(false);
  });

  test('a joined pid namespace moves the new ones to the second clone', () => {
    const made = plan([{ type: 'pid', path: '/proc/7/ns/pid' }, { type: 'uts' }]);
    expect(made.firstFlags).toBe(0);
    expect(made.secondFlags).toBe(CLONE.NEWNS | CLONE.NEWUTS);
  });

  test('a new user namespace joins others before it is made', () => {
    const made = plan([{ type: 'user' }, { type: 'network', path: '/proc/7/ns/net' }]);
    expect(made.firstFlags).toBe(0);
    expect(made.secondFlags).toBe((CLONE.NEWNS | CLONE.NEWUSER) >>> 0);
  });

  test('the cgroup namespace of v1 waits until the groups are joined', () => {
    expect(plan([{ type: 'cgroup' }], 1)).toMatchObject({ unshareCgroup: true, firstFlags: CLONE.NEWNS });
    expect(plan([{ type: 'cgroup' }], 2)).toMatchObject({
      unshareCgroup: false,
      firstFlags: CLONE.NEWNS | CLONE.NEWCGROUP,
    });
  });

  test('shifted clocks take a second clone', () => {
    const made = plan([{ type: 'time' }], 1, true);
    expect(made).toMatchObject({ shiftClocks: true, firstFlags: 0, secondFlags: CLONE.NEWNS });
    expect(plan([{ type: 'time' }]).firstFlags).toBe(CLONE.NEWNS | CLONE.NEWTIME);
  });

  test('a mount namespace of its own is a must', () => {
    const options = { cgroupVersion: 1, clocksShifted: false } as const;
    expect(() => planNamespaces([{ type: 'pid' }], options)).toThrow('needs a mount namespace of its own');
    expect(() => planNamespaces([{ type: 'mount', path: '/proc/1/ns/mnt' }], options)).toThrow('mount namespace');
    expect(() => plan([{ type: 'pid' }, { type: 'pid' }])).toThrow('"pid" is listed twice');
  });
});
