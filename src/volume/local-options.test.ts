import { describe, expect, test } from 'bun:test';
import { MS } from '#sys/numbers.ts';
import { answersAtOnce, checkLocalOptions, describeMount, localMountOf, sizeOf } from './local-options.ts';

describe('options of the local driver', () => {
  test.each([
    [{ foo: 'bar' }, 'create v: invalid option: "foo"'],
    [{ type: 'tmpfs' }, 'create v: missing required option: "device"'],
    [{ device: '/x' }, 'create v: missing required option: "type"'],
    [{ o: 'bind' }, 'create v: missing required option: "device"'],
    [{ type: 'none', o: 'bind' }, 'create v: missing required option: "device"'],
    [{ type: 'none', device: '/x', o: 'bind,rshared' }, '"rshared" means nothing for a volume'],
    [{ type: 'tmpfs', device: 'x', o: 'remount' }, '"remount" means nothing for a volume'],
    [{ size: 'many' }, "create v: invalid size: 'many'"],
    [{ size: '0' }, "create v: invalid size: '0'"],
  ])('%j is refused', (options, message) => {
    expect(() => checkLocalOptions('v', options)).toThrow(message);
  });

  test('what is fine', () => {
    checkLocalOptions('v', {});
    checkLocalOptions('v', { type: 'nfs', device: ':/export', o: 'addr=10.0.0.1,rw,nfsvers=4' });
    checkLocalOptions('v', { size: '10m' });
    expect(sizeOf('v', { size: '10m' })).toBe(10 * 2 ** 20);
    expect(sizeOf('v', {})).toBeUndefined();
  });

  test('flags are told from what belongs to the file system; the later of two wins', () => {
    expect(localMountOf({})).toBeUndefined();
    expect(localMountOf({ size: '1m' })).toBeUndefined();
    const nfs = localMountOf({ type: 'nfs', device: ':/x', o: 'addr=h,ro,nosuid,rw,soft' });
    expect(nfs).toEqual({ source: ':/x', type: 'nfs', flags: MS.NOSUID, data: 'addr=h,soft' });
    const bind = localMountOf({ type: 'none', device: '/x', o: 'rbind,ro' });
    expect(bind?.flags).toBe(MS.BIND | MS.REC | MS.RDONLY);
    expect(localMountOf({ type: 'bind', device: '/x' })?.flags).toBe(MS.BIND);
  });

  test('a mount in dockerd’s words, and whether it may wait', () => {
    const bind = { source: '/a', type: 'none', flags: MS.BIND, data: '' };
    const nfs = { source: ':/e', type: 'nfs', flags: 0, data: 'addr=1.2.3.4' };
    expect(describeMount(bind, '/t')).toBe('mount /a:/t, flags: 0x1000');
    expect(describeMount(nfs, '/t')).toBe('mount :/e:/t, data: addr=1.2.3.4');
    expect([answersAtOnce(bind), answersAtOnce(nfs)]).toEqual([true, false]);
    expect(answersAtOnce({ source: 'x', type: 'tmpfs', flags: 0, data: '' })).toBe(true);
  });
});
