import { describe, expect, test } from 'bun:test';
import { defaultSpec } from './oci/default-spec.ts';
import type { Linux, Process, Spec } from './spec.ts';
import { checkSpec } from './spec-check.ts';

const process = (more: Partial<Process>): Spec => ({
  ...defaultSpec,
  process: { cwd: '/', user: { uid: 0, gid: 0 }, args: ['sh'], ...more },
});
const linux = (more: Partial<Linux>): Spec => ({ ...defaultSpec, linux: { ...defaultSpec.linux, ...more } });

describe('what a configuration may say', () => {
  test('our own template', () => expect(() => checkSpec(defaultSpec)).not.toThrow());

  const refused: readonly (readonly [string, Spec, string])[] = [
    ['another major version', { ...defaultSpec, ociVersion: '2.0.0' }, 'ociVersion: version 2.0.0 is not supported'],
    ['a relative working directory', process({ cwd: 'etc' }), 'process.cwd: "etc" is not an absolute path'],
    ['a score out of range', process({ oomScoreAdj: 2000 }), 'process.oomScoreAdj: 2000'],
    ['a uid of −1', process({ user: { uid: 0xffff_ffff, gid: 0 } }), 'process.user.uid'],
    ['SELinux', process({ selinuxLabel: 'x' }), 'process.selinuxLabel'],
    ['a relative mount', { ...defaultSpec, mounts: [{ destination: 'x' }] }, 'mounts[0].destination'],
    ['a hostname without uts', linux({ namespaces: [{ type: 'mount' }] }), 'hostname: cannot be set'],
    ['a long hostname', { ...defaultSpec, hostname: 'x'.repeat(65) }, 'is longer than 64 bytes'],
    ['a user namespace without maps', linux({ namespaces: [{ type: 'user' }, { type: 'uts' }] }), 'linux.uidMappings'],
    ['maps alone', linux({ uidMappings: [{ containerID: 0, hostID: 0, size: 1 }] }), 'mappings need a user namespace'],
    ['an unknown propagation', linux({ rootfsPropagation: 'x' }), 'linux.rootfsPropagation'],
    ['an unknown clock', linux({ timeOffsets: { realtime: {} } }), 'linux.timeOffsets: unknown clock "realtime"'],
    ['a relative mask', linux({ maskedPaths: ['proc'] }), 'linux.maskedPaths[0]'],
  ];
  for (const [name, spec, message] of refused)
    test(`refused: ${name}`, () => expect(() => checkSpec(spec)).toThrow(message));
});
