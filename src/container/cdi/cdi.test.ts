import { describe, expect, test } from 'bun:test';
import type { DeviceRequest } from '#api/types/host-config.ts';
import type { Spec } from '#libcontainer/spec.ts';
import { applyEdits, nodeOf } from './apply.ts';
import { parseCdiSpec } from './cdi-spec.ts';
import { cdiDevices, resolveRequests } from './resolve.ts';

const SPEC = {
  cdiVersion: '0.6.0',
  kind: 'vendor.com/class',
  containerEdits: { env: ['ALL=1'], additionalGids: [44] },
  devices: [
    {
      name: 'one',
      containerEdits: {
        env: ['ONE=1'],
        deviceNodes: [{ path: '/dev/one', hostPath: '/dev/null', permissions: 'r' }],
        mounts: [{ hostPath: '/host', containerPath: '/inside', options: ['ro'] }],
        hooks: [{ hookName: 'createContainer', path: '/bin/hook', args: ['hook', 'x'], env: ['A=1'], timeout: 5 }],
      },
    },
    { name: '2', containerEdits: { env: ['ONE=2'] } },
  ],
};
const YAML = `
cdiVersion: "0.6.0"
kind: vendor.com/class
devices:
  - name: one
    containerEdits:
      deviceNodes:
        - path: /dev/one
          type: c
          major: 1
          minor: 3
          fileMode: 438
`;
const parse = (change: object = {}) => parseCdiSpec(JSON.stringify({ ...SPEC, ...change }), 'json');
const request = (change: Partial<DeviceRequest>): DeviceRequest => ({
  Driver: '',
  Count: 0,
  DeviceIDs: null,
  Capabilities: null,
  Options: null,
  ...change,
});

describe('specifications', () => {
  test('JSON and YAML', () => {
    expect([...parse().devices.keys()]).toEqual(['one', '2']);
    const node = parseCdiSpec(YAML, 'yaml').devices.get('one')?.deviceNodes[0];
    expect(node).toEqual({
      path: '/dev/one',
      hostPath: '/dev/one',
      type: 'c',
      major: 1,
      minor: 3,
      fileMode: 0o666,
      permissions: 'rwm',
    });
  });

  test.each([
    [{ cdiVersion: '9.0.0' }, 'cdiVersion: "9.0.0" is not known'],
    [{ kind: 'nokind' }, 'kind: "nokind" is not vendor/class'],
    [{ kind: '../x/y' }, 'is not vendor/class'],
    [{ devices: [] }, 'devices: there is none'],
    [{ devices: [{ name: 'a b' }] }, 'devices[0].name'],
    [{ devices: [{ name: 'a' }, { name: 'a' }] }, '"a" stands twice'],
    [{ more: 1 }, 'spec.more: this is not supported'],
    [{ containerEdits: { intelRdt: { closID: 'x' } } }, 'containerEdits.intelRdt: this is not supported'],
    [{ containerEdits: { env: ['x'] } }, 'is not NAME=value'],
    [{ containerEdits: { deviceNodes: [{ path: 'dev/x' }] } }, 'is not an absolute path'],
    [{ containerEdits: { deviceNodes: [{ path: '/dev/x', permissions: 'q' }] } }, 'permissions'],
    [{ containerEdits: { hooks: [{ hookName: 'never', path: '/x' }] } }, '"never" is no hook'],
    [{ containerEdits: { hooks: [{ hookName: 'poststop', path: 'x' }] } }, 'is not an absolute path'],
    [{ containerEdits: { mounts: [{ hostPath: '/x', containerPath: 'y' }] } }, 'is not an absolute path'],
    [{ containerEdits: { additionalGids: [-1] } }, 'want a number'],
    [{ containerEdits: 'x' }, 'want an object'],
  ])('%j is refused', (change, message) => {
    expect(() => parse(change)).toThrow(message);
  });

  test('text that is neither', () => {
    expect(() => parseCdiSpec('{', 'json')).toThrow('it is no JSON');
    expect(() => parseCdiSpec('a: [', 'yaml')).toThrow('it is no YAML');
  });
});

describe('requests', () => {
  const devices = cdiDevices([[parse()]]);
  const names = (list: readonly DeviceRequest[]) => resolveRequests(list, devices).flatMap((e) => e.env);

  test('by name, once, with what belongs to all', () => {
    const asked = request({
      Driver: 'cdi',
      DeviceIDs: ['vendor.com/class=one', 'vendor.com/class=2', 'vendor.com/class=one'],
    });
    expect(names([asked])).toEqual(['ALL=1', 'ONE=1', 'ONE=2']);
    expect(() => names([request({ Driver: 'cdi', DeviceIDs: ['vendor.com/class=none'] })])).toThrow(
      'CDI device injection failed: unresolvable CDI devices vendor.com/class=none',
    );
    expect(() => names([request({ Driver: 'cdi', DeviceIDs: ['/etc/passwd'] })])).toThrow('is no CDI device name');
  });

  test('GPUs by their vendor, or the clear words of docker', () => {
    expect(() => names([request({ Count: -1, Capabilities: [['gpu']] })])).toThrow(
      'could not select device driver "" with capabilities: [[gpu]]',
    );
    expect(() => names([request({ Driver: 'x' })])).toThrow('could not select device driver "x" with capabilities: []');
    const gpus = cdiDevices([
      [
        parse({
          kind: 'nvidia.com/gpu',
          devices: [
            { name: '0', containerEdits: { env: ['G=0'] } },
            { name: '1', containerEdits: { env: ['G=1'] } },
          ],
        }),
      ],
    ]);
    const of = (change: Partial<DeviceRequest>) =>
      resolveRequests([request({ Capabilities: [['gpu']], ...change })], gpus).flatMap((e) => e.env);
    expect(of({ Count: -1 })).toEqual(['ALL=1', 'G=0', 'G=1']);
    expect(of({ Count: 1 })).toEqual(['ALL=1', 'G=0']);
    expect(of({ DeviceIDs: ['1'] })).toEqual(['ALL=1', 'G=1']);
    expect(of({ Driver: 'nvidia', Count: 2 })).toEqual(['ALL=1', 'G=0', 'G=1']);
    expect(() => of({ Driver: 'amd', Count: 1 })).toThrow('could not select device driver "amd"');
    expect(() => of({ Count: 3 })).toThrow('unresolvable CDI devices nvidia.com/gpu=2');
  });

  test('a later directory goes before an earlier one; two of one directory cancel each other', () => {
    const other = parse({ containerEdits: {}, devices: [{ name: 'one', containerEdits: { env: ['LATER=1'] } }] });
    const asked = [request({ Driver: 'cdi', DeviceIDs: ['vendor.com/class=one'] })];
    expect(resolveRequests(asked, cdiDevices([[parse()], [other]])).flatMap((e) => e.env)).toEqual(['LATER=1']);
    expect(() => resolveRequests(asked, cdiDevices([[parse(), other]]))).toThrow('unresolvable');
  });
});

test('edits replace what has the same name or place', () => {
  const spec: Spec = {
    ociVersion: '1.0.2',
    root: { path: 'rootfs' },
    process: { cwd: '/', args: ['x'], env: ['ONE=0', 'KEEP=1'], user: { uid: 0, gid: 0, additionalGroups: ['crew'] } },
    mounts: [{ destination: '/inside', type: 'tmpfs', source: 'tmpfs' }],
    linux: {
      devices: [{ path: '/dev/one', type: 'c', major: 9, minor: 9 }],
      resources: { devices: [{ allow: false, access: 'rwm' }] },
    },
  };
  const edits = resolveRequests(
    [request({ Driver: 'cdi', DeviceIDs: ['vendor.com/class=one'] })],
    cdiDevices([[parse()]]),
  );
  const host = { type: 'c', path: '/dev/one', major: 1, minor: 3, access: 'r' };
  const done = applyEdits(spec, edits, (node) => nodeOf(node, host));
  expect(done.process?.env).toEqual(['KEEP=1', 'ALL=1', 'ONE=1']);
  expect(done.process?.user.additionalGroups).toEqual(['crew', '44']);
  expect(done.mounts).toEqual([{ destination: '/inside', source: '/host', type: 'bind', options: ['rbind', 'ro'] }]);
  expect(done.linux?.devices).toEqual([{ type: 'c', path: '/dev/one', major: 1, minor: 3, access: 'r' }] as never);
  expect(done.linux?.resources?.devices?.at(-1)).toEqual({ allow: true, type: 'c', major: 1, minor: 3, access: 'r' });
  expect(done.hooks).toEqual({
    createContainer: [{ path: '/bin/hook', args: ['hook', 'x'], env: ['A=1'], timeout: 5 }],
  });
  expect(() => applyEdits(spec, edits, (node) => nodeOf(node, undefined))).toThrow(
    '"/dev/null" is no device of this host',
  );
});
