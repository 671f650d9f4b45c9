import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { dropText, textRanges } from './own-text.ts';

const MAPS = `00200000-01a39000 r--p 00000000 08:01 77 /opt/my berth
01a40000-06849000 r-xp 01838000 08:01 77 /opt/my berth
0684a000-0685f000 rw-p 06641000 08:01 77 /opt/my berth
0685f000-06867000 r--p 06656000 08:01 77 /opt/my berth
7fe0a4e43000-7fe0a4e69000 r--p 00000000 08:01 78 /lib/libc.so.6
`;

test('only what the linker has never written is dropped', () => {
  expect(textRanges(MAPS, '/opt/my berth')).toEqual([
    { start: 0x200000, length: 0x1839000 },
    { start: 0x1a40000, length: 0x4e09000 },
  ]);
  expect(textRanges(MAPS, '/opt')).toEqual([]);
});

test('dropping makes us smaller, and we go on', () => {
  const resident = () => Number(/^RssFile:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  const before = resident();
  dropText();
  expect(resident()).toBeLessThan(before - 4096);
  expect(JSON.parse(JSON.stringify({ a: [1, 'b'] }))).toEqual({ a: [1, 'b'] });
});
