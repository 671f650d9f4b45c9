import { describe, expect, test } from 'bun:test';
import { defaultSpec } from './oci/default-spec.ts';
import { decodeSpec, parseSpec } from './spec-decode.ts';

describe('a configuration from outside', () => {
  test('our own template comes back unchanged', () => {
    expect(decodeSpec(JSON.parse(JSON.stringify(defaultSpec)))).toEqual(defaultSpec);
  });

  test('every wrong field is named at once', () => {
    const { problems } = parseSpec({
      ociVersion: 1,
      process: { cwd: '/', args: ['a', 2], user: { uid: -1, gid: 0 } },
      linux: { namespaces: [{ type: 'nonsense' }], maskedPaths: 'x' },
    });
    expect(problems).toEqual([
      'ociVersion: must be a string, not number 1',
      'process.args[1]: must be a string, not number 2',
      'process.user.uid: must be a whole number from 0 to 4294967295, not number -1',
      'linux.namespaces[0].type: must be one of mount, pid, network, ipc, uts, cgroup, user, time, not string "nonsense"',
      'linux.maskedPaths: must be a list, not string "x"',
    ]);
  });

  test('what is missing is named', () => {
    expect(parseSpec({ process: {} }).problems).toEqual([
      'ociVersion: is missing',
      'process.cwd: is missing',
      'process.user: is missing',
    ]);
  });

  test('unknown fields and null are left out', () => {
    const spec = decodeSpec({ ociVersion: '1.2.0', hostname: null, vm: {}, root: { path: 'x', y: 1 } });
    expect(spec).toEqual({ ociVersion: '1.2.0', root: { path: 'x' } });
  });

  test('a NUL byte never reaches the kernel', () => {
    expect(() => decodeSpec({ ociVersion: '1.2.0', hostname: 'a\0b' })).toThrow('hostname: must not contain a NUL');
  });

  test('a document that is none', () => {
    for (const value of [null, 5, 'x', []]) expect(parseSpec(value).problems).toHaveLength(1);
  });
});
