/** What compiled filters answer, asked of an interpreter of BPF. */
import { describe, expect, test } from 'bun:test';
import type { Seccomp, SeccompArgument } from '#libcontainer/spec.ts';
import { loadSeccomp } from '#sys/libraries.ts';
import { compileSeccomp } from './compile.ts';
import { architectures, X86_64 } from './constants.ts';
import { defaultProfile } from './default-profile.ts';
import { type ProfileHost, resolveProfile } from './profile.ts';
import { runFilter } from './testdata/bpf-interpreter.ts';

const ALLOW = 0x7fff_0000;
const ERRNO = 0x0005_0000;
const EPERM = ERRNO | 1;
const ENOSYS = ERRNO | 38;
const I386 = architectures['SCMP_ARCH_X86'] ?? 0;
const X32_BIT = 0x4000_0000;
const CAPS = ['CAP_CHOWN', 'CAP_SYS_CHROOT'];
const host = (caps: readonly string[] = CAPS): ProfileHost => ({ arch: 'amd64', kernel: '6.1.0', caps });

function ask(seccomp: Seccomp, call: string | number, args: readonly (number | bigint)[] = [], arch = X86_64): number {
  const library = loadSeccomp();
  const token = arch;
  const number = typeof call === 'number' ? call : library.resolveNameArch(token, call);
  const { program } = compileSeccomp(seccomp);
  return runFilter(program, { number, arch, args: args.map(BigInt) }).action;
}

describe('the default profile', () => {
  const plain = resolveProfile(defaultProfile, host());
  const admin = resolveProfile(defaultProfile, host([...CAPS, 'CAP_SYS_ADMIN']));
  const cases: readonly [string, Seccomp, string | number, readonly (number | bigint)[], number][] = [
    ['read', plain, 'read', [], ALLOW],
    ['execve', plain, 'execve', [], ALLOW],
    ['mount', plain, 'mount', [], EPERM],
    ['mount with CAP_SYS_ADMIN', admin, 'mount', [], ALLOW],
    ['chroot with its capability', plain, 'chroot', [], ALLOW],
    ['reboot', plain, 'reboot', [], EPERM],
    ['keyctl', plain, 'keyctl', [], EPERM],
    ['io_uring_setup', plain, 'io_uring_setup', [], EPERM],
    ['AF_INET', plain, 'socket', [2, 1, 0], ALLOW],
    ['AF_ALG', plain, 'socket', [38, 5, 0], EPERM],
    ['AF_ALG in the low half only', plain, 'socket', [0x1_0000_0026n, 5, 0], ALLOW],
    ['AF_NFC', plain, 'socket', [39, 1, 0], ALLOW],
    ['AF_VSOCK', plain, 'socket', [40, 1, 0], EPERM],
    ['AF_XDP', plain, 'socket', [44, 3, 0], ALLOW],
    ['fork by clone', plain, 'clone', [17], ALLOW],
    ['clone into a user namespace', plain, 'clone', [0x1000_0011], EPERM],
    ['clone into a mount namespace', plain, 'clone', [0x2_0011], EPERM],
    ['clone into a namespace with CAP_SYS_ADMIN', admin, 'clone', [0x1000_0011], ALLOW],
    ['clone3', plain, 'clone3', [], ENOSYS],
    ['clone3 with CAP_SYS_ADMIN', admin, 'clone3', [], ALLOW],
    ['personality linux', plain, 'personality', [0], ALLOW],
    ['personality query', plain, 'personality', [0xffff_ffff], ALLOW],
    ['personality odd', plain, 'personality', [4], EPERM],
    ['cachestat, by number', plain, 451, [], ALLOW],
    ['mseal, by number', plain, 462, [], ALLOW],
    ['lsm_set_self_attr, by number', plain, 460, [], EPERM],
    ['lsm_set_self_attr with CAP_SYS_ADMIN', admin, 460, [], ALLOW],
    ['open_tree_attr', plain, 467, [], EPERM],
    ['the newest named', plain, 469, [], ALLOW],
    ['newer than all', plain, 470, [], ENOSYS],
    ['newer than all, far', plain, 1_000_000, [], ENOSYS],
    ['uretprobe, below and unknown to the library', plain, 335, [], ALLOW],
    ['a hole in the table', plain, 400, [], EPERM],
  ];
  for (const [name, seccomp, call, args, action] of cases) {
    test(name, () => expect(ask(seccomp, call, args).toString(16)).toBe(action.toString(16)));
  }

  test('32-bit and x32 programs have the same rules', () => {
    expect(ask(plain, 'read', [], I386)).toBe(ALLOW);
    expect(ask(plain, 'mount', [], I386)).toBe(EPERM);
    expect(ask(plain, 451, [], I386)).toBe(ALLOW);
    expect(ask(plain, 470, [], I386)).toBe(ENOSYS);
    expect(ask(plain, 'socketcall', [], I386)).toBe(ALLOW);
    expect(ask(plain, X32_BIT)).toBe(ALLOW);
    expect(ask(plain, X32_BIT + 451)).toBe(ALLOW);
    expect(ask(plain, X32_BIT + 165)).toBe(EPERM); // mount
    // libseccomp's own highest x32 number lies above the common ones (512 and up).
    expect(ask(plain, X32_BIT + 5000)).toBe(ENOSYS);
  });

  test('another architecture is killed by libseccomp', () => {
    expect(ask(plain, 0, [], architectures['SCMP_ARCH_PPC64LE'])).toBe(0);
  });

  test('an ordinary call leaves the stub after five instructions', () => {
    const { program } = compileSeccomp(plain);
    expect(program.length / 8).toBeLessThan(1500);
    expect(runFilter(program, { number: 0, arch: X86_64 }).steps).toBeLessThan(40);
  });

  test('compiled once', () => {
    const again = resolveProfile(defaultProfile, host());
    expect(again).not.toBe(plain);
    expect(compileSeccomp(again)).toBe(compileSeccomp(plain));
  });
});

const profile = (args: readonly SeccompArgument[], more: Partial<Seccomp> = {}): Seccomp => ({
  defaultAction: 'SCMP_ACT_ERRNO',
  architectures: ['SCMP_ARCH_X86_64'],
  syscalls: [{ names: ['dup3'], action: 'SCMP_ACT_ALLOW', args }],
  ...more,
});

describe('argument operators', () => {
  const big = 0xffff_ffff_ffff_fff0n;
  const cases: readonly [string, number | bigint, number | bigint, readonly (readonly [bigint, boolean])[]][] = [
    [
      'SCMP_CMP_EQ',
      5,
      0,
      [
        [5n, true],
        [6n, false],
        [0x1_0000_0005n, false],
      ],
    ],
    [
      'SCMP_CMP_NE',
      5,
      0,
      [
        [5n, false],
        [6n, true],
      ],
    ],
    [
      'SCMP_CMP_LT',
      5,
      0,
      [
        [4n, true],
        [5n, false],
        [big, false],
      ],
    ],
    [
      'SCMP_CMP_LE',
      5,
      0,
      [
        [5n, true],
        [6n, false],
      ],
    ],
    [
      'SCMP_CMP_GT',
      5,
      0,
      [
        [5n, false],
        [6n, true],
        [big, true],
      ],
    ],
    [
      'SCMP_CMP_GE',
      big,
      0,
      [
        [big, true],
        [big - 1n, false],
      ],
    ],
    [
      'SCMP_CMP_MASKED_EQ',
      0xf0,
      0x30,
      [
        [0x3fn, true],
        [0x4fn, false],
      ],
    ],
  ];
  for (const [op, value, valueTwo, answers] of cases) {
    test(op, () => {
      const seccomp = profile([{ index: 1, value, valueTwo, op }]);
      for (const [argument, allowed] of answers) {
        expect([argument, ask(seccomp, 'dup3', [0, argument])]).toEqual([argument, allowed ? ALLOW : EPERM]);
      }
    });
  }

  test('conditions on several arguments hold together, on one argument each for itself', () => {
    const eq = (index: number, value: number) => ({ index, value, op: 'SCMP_CMP_EQ' });
    const both = profile([eq(0, 1), eq(1, 2)]);
    expect(ask(both, 'dup3', [1, 2])).toBe(ALLOW);
    expect(ask(both, 'dup3', [1, 3])).toBe(EPERM);
    const either = profile([eq(0, 1), eq(0, 2)]);
    expect([1, 2, 3].map((value) => ask(either, 'dup3', [value]))).toEqual([ALLOW, ALLOW, EPERM]);
  });
});

describe('actions and refusals', () => {
  test('a profile that allows by default lets unknown calls through', () => {
    const seccomp: Seccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [
        { names: ['mount'], action: 'SCMP_ACT_ERRNO', errnoRet: 13 },
        { names: ['umount2'], action: 'SCMP_ACT_KILL_PROCESS' },
        { names: ['no_such_call'], action: 'SCMP_ACT_KILL' },
        { names: ['cachestat'], action: 'SCMP_ACT_TRAP' },
        { names: ['mseal'], action: 'SCMP_ACT_LOG' },
      ],
    };
    expect(ask(seccomp, 'mount')).toBe(ERRNO | 13);
    expect(ask(seccomp, 'umount2')).toBe(0x8000_0000);
    expect(ask(seccomp, 451)).toBe(0x0003_0000);
    expect(ask(seccomp, 462)).toBe(0x7ffc_0000);
    expect(ask(seccomp, 9999)).toBe(ALLOW);
  });
  test('flags are passed on', () => {
    expect(compileSeccomp(profile([], { flags: ['SECCOMP_FILTER_FLAG_LOG'] })).flags).toBe(2);
  });
  const refused: readonly [Seccomp, string][] = [
    [profile([], { defaultAction: 'SCMP_ACT_MAYBE' }), 'SCMP_ACT_MAYBE'],
    [profile([], { architectures: ['SCMP_ARCH_Z80'] }), 'SCMP_ARCH_Z80'],
    [profile([], { flags: ['SECCOMP_FILTER_FLAG_X'] }), 'SECCOMP_FILTER_FLAG_X'],
    [profile([], { listenerPath: '/x' }), 'listenerPath'],
    [profile([{ index: 0, value: 1, op: 'SCMP_CMP_X' }]), 'SCMP_CMP_X'],
    [profile([{ index: 6, value: 1, op: 'SCMP_CMP_EQ' }]), 'index "6"'],
    [profile([], { syscalls: [{ names: ['read'], action: 'SCMP_ACT_NOTIFY' }] }), 'SCMP_ACT_NOTIFY'],
    [profile([], { syscalls: [{ names: ['read'], action: 'SCMP_ACT_ALLOW', errnoRet: 1 }] }), 'errnoRet'],
  ];
  test.each(refused)('refused: %#', (seccomp, name) => expect(() => compileSeccomp(seccomp)).toThrow(name));
});
