import { describe, expect, test } from 'bun:test';
import { parseUsernsMode, RANGE_SIZE, type UsernsRequest } from './user-namespace.ts';

describe('UsernsMode', () => {
  const good: readonly (readonly [string, UsernsRequest])[] = [
    ['', { kind: 'default' }],
    ['host', { kind: 'host' }],
    ['auto', { kind: 'auto', size: RANGE_SIZE }],
    ['private', { kind: 'auto', size: RANGE_SIZE }],
    ['auto:size=1000', { kind: 'auto', size: 1000 }],
    ['container:web', { kind: 'container', container: 'web' }],
  ];
  for (const [mode, expected] of good) test(`"${mode}"`, () => expect(parseUsernsMode(mode)).toEqual(expected));

  const bad: readonly (readonly [string, string])[] = [
    ['keep-id', 'userns mode "keep-id" is not supported'],
    ['keep-id:uid=1,gid=1', 'userns mode "keep-id" is not supported'],
    ['nomap', 'userns mode "nomap" is not supported'],
    ['auto:uidmapping=0:1:2', '"auto:uidmapping=…" is not supported'],
    ['auto:colour=red', 'unknown option specified: "colour=red"'],
    ['auto:size=0', 'size must be a number from 1'],
    ['auto:size=1e9', 'size must be a number from 1'],
    ['auto:', 'unknown option specified: ""'],
    ['container:', 'invalid userns mode: container:'],
    ['ns:/proc/1/ns/user', 'invalid userns mode: ns:/proc/1/ns/user'],
    ['HOST', 'invalid userns mode: HOST'],
  ];
  for (const [mode, message] of bad)
    test(`"${mode}" is refused`, () => expect(() => parseUsernsMode(mode)).toThrow(message));
});
