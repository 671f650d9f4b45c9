import { describe, expect, test } from 'bun:test';
import { idOnDisk, mountMappings, parseIdmap } from './idmap-option.ts';

const userns = {
  uids: [{ containerID: 0, hostID: 1000, size: 100 }],
  gids: [{ containerID: 0, hostID: 2000, size: 100 }],
};
const bind = (idmap: string) => ({ type: 'bind', idmap, destination: '/x' }) as const;
const root = { containerID: 0xffff_fffe, hostID: 0, size: 1 };

describe('idmap', () => {
  test('alone, true and false', () => {
    expect([undefined, '', 'true', 'false'].map(parseIdmap)).toEqual(['own', 'own', 'own', '']);
  });

  const bad: readonly (readonly [string, string])[] = [
    ['uids=0-1', '"0-1" is not ID-ID-COUNT'],
    ['uids=0-1-0;gids=0-1-1', '"0-1-0" is out of range'],
    ['uids=0-4294967295-1;gids=0-1-1', 'is out of range'],
    ['uids=0-1-1', 'both uids and gids are needed'],
    ['uids=0-1-1;uids=0-1-1', '"uids" is there twice'],
    ['colour=red', '"colour=red" is not uids=… or gids=…'],
    [`uids=${Array.from({ length: 341 }, (_, i) => `${i}-${i}-1`).join('#')};gids=0-1-1`, 'more than 340'],
  ];
  for (const [text, message] of bad) test(text.slice(0, 40), () => expect(() => parseIdmap(text)).toThrow(message));

  test('gives a mount the ids of the namespace, with a place for the host’s root', () => {
    expect(mountMappings(bind('own'), userns)).toEqual({
      uidMappings: [...userns.uids, root],
      gidMappings: [...userns.gids, root],
    });
    expect(mountMappings({ ...bind(''), type: 'volume' }, userns).uidMappings).toEqual([...userns.uids, root]);
    expect(mountMappings(bind(''), userns)).toEqual({});
    expect(mountMappings({ ...bind(''), type: 'volume' }, undefined)).toEqual({});
    expect(() => mountMappings(bind('own'), undefined)).toThrow('the container has no user namespace');
  });

  test('takes its own maps, of the host or of the container', () => {
    expect(mountMappings(bind('uids=0-5-1#10-50-7;gids=0-9-1'), undefined)).toEqual({
      uidMappings: [
        { containerID: 0, hostID: 5, size: 1 },
        { containerID: 10, hostID: 50, size: 7 },
      ],
      gidMappings: [{ containerID: 0, hostID: 9, size: 1 }],
    });
    expect(mountMappings(bind('uids=@7-3-2;gids=@7-4-1'), userns)).toEqual({
      uidMappings: [{ containerID: 7, hostID: 1003, size: 2 }],
      gidMappings: [{ containerID: 7, hostID: 2004, size: 1 }],
    });
    expect(() => mountMappings(bind('uids=@0-99-2;gids=@0-0-1'), userns)).toThrow('uid 100 is not mapped');
  });
});

test('what :U gives a file on the disk', () => {
  expect(idOnDisk(5, undefined, undefined, 'uid')).toBe(5);
  expect(idOnDisk(5, userns.uids, undefined, 'uid')).toBe(1005);
  expect(idOnDisk(5, userns.uids, [...userns.uids, root], 'uid')).toBe(5);
  expect(idOnDisk(5, undefined, [{ containerID: 70, hostID: 4, size: 3 }], 'uid')).toBe(71);
  expect(() => idOnDisk(9, undefined, [{ containerID: 70, hostID: 4, size: 3 }], 'uid')).toThrow('not among the ids');
});
