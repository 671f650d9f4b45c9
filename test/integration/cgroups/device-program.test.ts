/**
 * The device program in a real kernel: on any host with a cgroup2 mount, hybrid ones included. The group lies directly
 * below the mount and is removed at the end.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { cgroupMounts } from '#libcontainer/cgroups/detect.ts';
import { replaceDevices } from '#libcontainer/cgroups/v2-devices.ts';
import type { DeviceRule } from '#libcontainer/spec.ts';

const unified = cgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8')).find((mount) => mount.type === 'cgroup2');
const group = `${unified?.mountPoint}/berth-device-test-${process.pid}`;

const run = (script: string): boolean =>
  Bun.spawnSync(['/bin/sh', '-c', `echo 0 > ${group}/cgroup.procs && { ${script}; }`]).exitCode === 0;
const deny = { allow: false };
const zero = (access: string, allow = true): DeviceRule => ({ allow, type: 'c', major: 1, minor: 5, access });
const nullDevice: DeviceRule = { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' };

const READ = 'exec 3</dev/zero';
const WRITE = 'exec 3>/dev/zero';
const BOTH = 'exec 3<>/dev/zero';

describe.if(unified !== undefined)('device program', () => {
  beforeAll(() => mkdirSync(group));
  afterAll(() => rmdirSync(group));

  // Each case replaces the rules of the one before, live.
  const cases: readonly [string, readonly DeviceRule[], readonly string[], readonly string[]][] = [
    ['nothing but null', [deny, nullDevice], [], [READ, WRITE, BOTH]],
    ['reading only', [deny, zero('r')], [READ], [WRITE, BOTH]],
    ['r and w by two rules', [deny, zero('r'), zero('w')], [READ, WRITE, BOTH], []],
    ['all but writing one', [{ allow: true }, zero('w', false)], [READ], [WRITE, BOTH]],
    ['later rules win', [deny, zero('rw'), zero('rwm', false)], [], [READ, WRITE]],
    ['no last word means denied', [nullDevice], [], [READ]],
    ['everything', [deny, { allow: true }], [READ, WRITE, BOTH], []],
  ];
  for (const [name, rules, allowed, refused] of cases) {
    test(name, () => {
      replaceDevices(group, rules);
      for (const script of allowed) expect([script, run(script)]).toEqual([script, true]);
      for (const script of refused) expect([script, run(script)]).toEqual([script, false]);
    });
  }

  test('a list far longer than any host needs is accepted by the verifier', () => {
    const rules = Array.from({ length: 300 }, (_, minor) => ({
      allow: true,
      type: 'c',
      major: 200,
      minor,
      access: 'r',
    }));
    replaceDevices(group, [deny, ...rules]);
    expect(run(READ)).toBe(false);
  });
});
