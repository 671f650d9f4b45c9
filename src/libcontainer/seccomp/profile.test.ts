import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { kindOf } from '#errdefs/errors.ts';
import { defaultProfile, newer, unconditional } from './default-profile.ts';
import { commonNumbers } from './constants.ts';
import { decodeProfile, kernelAtLeast, resolveProfile } from './profile.ts';

const host = { arch: 'amd64', kernel: '6.1.0-x', caps: ['CAP_A', 'CAP_B'] } as const;
const rule = (more: object) => JSON.stringify({ names: ['x'], action: 'SCMP_ACT_ALLOW', ...more });

describe('conditions', () => {
  const cases: readonly [object, boolean][] = [
    [{}, true],
    [{ includes: {}, excludes: {} }, true],
    [{ includes: { caps: ['CAP_A'] } }, true],
    [{ includes: { caps: ['CAP_A', 'CAP_C'] } }, false],
    [{ excludes: { caps: ['CAP_C'] } }, true],
    [{ excludes: { caps: ['CAP_C', 'CAP_B'] } }, false],
    [{ includes: { arches: ['arm64', 'amd64'] } }, true],
    [{ includes: { arches: ['arm64'] } }, false],
    [{ excludes: { arches: ['amd64'] } }, false],
    [{ includes: { minKernel: '6.1' } }, true],
    [{ includes: { minKernel: '6.2' } }, false],
    [{ excludes: { minKernel: '5.0' } }, false],
  ];
  test.each(cases)('%p', (conditions, kept) => {
    const text = `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [${rule(conditions)}]}`;
    expect(resolveProfile(decodeProfile(text), host).syscalls?.length).toBe(kept ? 1 : 0);
  });
  test('kernels compare as numbers', () => {
    expect(kernelAtLeast('6.10.1', '6.9')).toBe(true);
    expect(kernelAtLeast('5.15', '6.1')).toBe(false);
  });
});

describe('reading', () => {
  test('64-bit values stay exact', () => {
    const args = '[{"index": 0, "value": 18446744073709551615, "valueTwo": 5, "op": "SCMP_CMP_EQ"}]';
    const text = `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["x"], "action": "SCMP_ACT_ALLOW", "args": ${args}}]}`;
    expect(decodeProfile(text).syscalls?.[0]?.args).toEqual([
      { index: 0, value: 0xffff_ffff_ffff_ffffn, valueTwo: 5, op: 'SCMP_CMP_EQ' },
    ]);
  });
  test('the sub-architectures of this one', () => {
    const archMap = [
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] },
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
    ];
    const profile = decodeProfile(JSON.stringify({ defaultAction: 'SCMP_ACT_ERRNO', archMap }));
    expect(resolveProfile(profile, host).architectures).toEqual(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86']);
  });
  const refused: readonly [string, string][] = [
    ['{', 'JSON'],
    ['[]', '"profile" is no object'],
    ['{}', '"defaultAction" is no string'],
    ['{"defaultAction": "A", "syscalls": {}}', '"syscalls" is no list'],
    ['{"defaultAction": "A", "syscalls": [{"names": [1], "action": "A"}]}', '"syscalls[0].names[0]" is no string'],
    ['{"defaultAction": "A", "syscalls": [{"name": "a", "names": ["b"], "action": "A"}]}', "either 'name' or 'names'"],
    ['{"defaultAction": "A", "architectures": ["a"], "archMap": [{"architecture": "b"}]}', "either 'architectures'"],
  ];
  test.each(refused)('%p is refused', (text, message) => {
    try {
      decodeProfile(text);
      expect.unreachable();
    } catch (error) {
      expect(kindOf(error)).toBe('invalid-parameter');
      expect(String(error)).toContain(message);
    }
  });
});

const NAMESPACES = 'makes or enters namespaces or mounts: CAP_SYS_ADMIN';
/** Why a name that containers-common allows to all is not allowed to all by us. */
const notOurs: Readonly<Record<string, string>> = {
  clone: 'allowed without CLONE_NEW* flags; all flags with CAP_SYS_ADMIN',
  clone3: 'ENOSYS, since its flags cannot be filtered; allowed with CAP_SYS_ADMIN',
  fsconfig: NAMESPACES,
  fsmount: NAMESPACES,
  fsopen: NAMESPACES,
  fspick: NAMESPACES,
  mount: NAMESPACES,
  mount_setattr: NAMESPACES,
  move_mount: NAMESPACES,
  open_tree: NAMESPACES,
  setns: NAMESPACES,
  umount: NAMESPACES,
  umount2: NAMESPACES,
  unshare: NAMESPACES,
  pivot_root: 'refused to all, as by Docker: a container has its root',
  keyctl: 'refused to all, as by Docker: keyrings are not namespaced',
  syslog: 'reads the kernel log: CAP_SYSLOG or CAP_SYS_ADMIN',
  reboot: 'CAP_SYS_BOOT',
  pidfd_getfd: 'takes descriptors of other processes: CAP_SYS_PTRACE',
  get_mempolicy: 'NUMA placement: CAP_SYS_NICE',
  mbind: 'NUMA placement: CAP_SYS_NICE',
  set_mempolicy: 'NUMA placement: CAP_SYS_NICE',
};

/** Why we allow to all what containers-common does not. */
const oursOnly: Readonly<Record<string, string>> = {
  io_pgetevents: 'io_getevents with a signal mask; Docker allows it',
  io_pgetevents_time64: 'the same on 32 bits',
  vmsplice: 'splice from memory; Docker allows it',
  futex_waitv: 'futex on several words (5.16); Docker allows it',
  ...Object.fromEntries(newer.map((name) => [name, `newer than their list: number ${commonNumbers[name]}`])),
};

test('every difference from containers-common has a reason', () => {
  const file = readFileSync(`${import.meta.dirname}/testdata/containers-common.json`, 'utf8');
  const theirs = new Set((JSON.parse(file) as { unconditional: string[] }).unconditional); // a fixture of ours
  const ours = new Set([...unconditional, ...newer]);
  const missing = [...theirs].filter((name) => !ours.has(name));
  const added = [...ours].filter((name) => !theirs.has(name));
  const lines = [
    ...missing.map((name) => `- ${name}: ${notOurs[name] ?? 'NO REASON'}`),
    ...added.map((name) => `+ ${name}: ${oursOnly[name] ?? 'NO REASON'}`),
  ];
  if (process.env['BERTH_PRINT'] !== undefined) process.stderr.write(`${lines.join('\n')}\n`);
  expect(lines.filter((line) => line.endsWith('NO REASON'))).toEqual([]);
  // A reason for a difference that is none any more goes.
  expect(Object.keys(notOurs).toSorted()).toEqual(missing.toSorted());
  expect(Object.keys(oursOnly).toSorted()).toEqual(added.toSorted());
  expect(newer.filter((name) => commonNumbers[name] === undefined)).toEqual([]);
});

test('what Docker refuses to all is named nowhere', () => {
  const all = new Set((defaultProfile.syscalls ?? []).flatMap((r) => r.names));
  const refused =
    'io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key userfaultfd kexec_load swapon';
  for (const name of `${refused} kexec_file_load swapoff pivot_root nfsservctl vm86 vm86old`.split(' ')) {
    expect([name, all.has(name)]).toEqual([name, false]);
  }
});
