import { describe, expect, test } from 'bun:test';
import { capabilitySets, capsetBytes, namesOf, withoutRoot } from './capabilities.ts';

describe('capabilities', () => {
  test("Docker's default set has its well-known value", () => {
    const names = namesOf(0xa80425fbn);
    expect(names).toHaveLength(14);
    expect(capabilitySets({ bounding: names }).bounding).toBe(0xa80425fbn);
  });

  test('a user that is not root keeps what is ambient', () => {
    const sets = capabilitySets({
      bounding: ['CAP_CHOWN', 'CAP_NET_RAW'],
      permitted: ['CAP_CHOWN', 'CAP_NET_RAW'],
      effective: ['CAP_CHOWN'],
      inheritable: ['CAP_NET_RAW'],
      ambient: ['CAP_NET_RAW'],
    });
    expect(withoutRoot(sets)).toMatchObject({ bounding: 0x2001n, effective: 0n, permitted: 0x2000n, ambient: 0x2000n });
  });

  test('both halves of capset', () => {
    const words = new Uint32Array(capsetBytes(1n << 40n, 3n, 0n).buffer);
    expect([...words]).toEqual([0x20080522, 0, 0, 3, 0, 0x100, 0, 0]);
  });

  test('an unknown name', () => {
    expect(() => capabilitySets({ bounding: ['CAP_NOPE'] })).toThrow('Unknown capability "CAP_NOPE"');
  });
});
