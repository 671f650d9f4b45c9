import { describe, expect, test } from 'bun:test';
import { MOUNT_ATTR, MS } from '#sys/numbers.ts';
import { parseMountOptions } from './options.ts';

const parse = (...options: string[]) => parseMountOptions(options, '/x');

describe('mount options', () => {
  test('the attributes of a volatile directory', () => {
    const { attributes, parameters, bind } = parse('nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k');
    expect(bind).toBe(false);
    expect(attributes.set).toBe(MOUNT_ATTR.NOSUID | MOUNT_ATTR.NOEXEC | MOUNT_ATTR.NODEV);
    expect(parameters).toEqual([
      ['mode', '1777'],
      ['size', '65536k'],
    ]);
  });

  test('a bind that is read-only with all that lies below', () => {
    const options = parse('rbind', 'rprivate', 'ro', 'rro');
    expect(options).toMatchObject({ bind: true, recursive: true, propagation: MS.PRIVATE, propagationRecursive: true });
    expect(options.attributes.set).toBe(MOUNT_ATTR.RDONLY);
    expect(options.recursiveAttributes.set).toBe(MOUNT_ATTR.RDONLY);
  });

  test('the last of two contrary options wins', () => {
    expect(parse('ro', 'rw').attributes).toEqual({ set: 0, clear: MOUNT_ATTR.RDONLY });
    expect(parse('rw', 'ro').attributes).toEqual({ set: MOUNT_ATTR.RDONLY, clear: 0 });
  });

  test('an access time replaces the one before', () => {
    expect(parse('noatime', 'strictatime').attributes).toEqual({
      set: MOUNT_ATTR.STRICTATIME,
      clear: MOUNT_ATTR.ATIME,
    });
    expect(parse('relatime').attributes).toEqual({ set: 0, clear: MOUNT_ATTR.ATIME });
  });

  test('maps of ids', () => {
    expect(parse('bind').idmap).toBe('none');
    expect(parse('bind', 'idmap').idmap).toBe('own');
    expect(parse('rbind', 'ridmap').idmap).toBe('recursive');
  });

  test('what is not supported is refused by name', () => {
    expect(() => parse('move')).toThrow('Mount option "move" of "/x" is not supported');
    expect(() => parse('bind', 'size=5')).toThrow('"size=5" of "/x" means nothing for a bind mount');
  });
});
