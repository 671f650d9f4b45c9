import { expect, test } from 'bun:test';
import { entryMatches } from './binfmt.ts';

const QEMU_ARM64 = `enabled
interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P
flags: POCF
offset 0
magic 7f454c460201010000000000000000000200b700
mask ffffffffffffff00fffffffffffffffffeffffff
`;
const QEMU_S390X = `enabled
interpreter /usr/bin/qemu-s390x-static
flags: F
offset 0
magic 7f454c4602020100000000000000000000020016
mask ffffffffffffff00fffffffffffffffffffeffff
`;

test('an entry is for the architecture whose programs it matches', () => {
  const check = (entry: string, architecture: string, expected: boolean): void =>
    expect([architecture, entryMatches(entry, architecture)]).toEqual([architecture, expected]);
  check(QEMU_ARM64, 'arm64', true);
  for (const other of ['arm', 'amd64', 's390x', 'riscv64', 'vax', '']) check(QEMU_ARM64, other, false);
  check(QEMU_S390X, 's390x', true);
  check(QEMU_ARM64.replace('enabled', 'disabled'), 'arm64', false);
  check('enabled\ninterpreter /usr/bin/python3\nflags: \nextension .py\n', 'arm64', false);
  check('enabled\ninterpreter /usr/bin/cli\nflags: \noffset 0\nmagic 4d5a\n', 'arm64', false);
  check('enabled\noffset 4000\nmagic 7f\n', 'arm64', false);
});
