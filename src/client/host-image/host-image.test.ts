import { describe, expect, test } from 'bun:test';
import { busyboxApplets } from './applets.ts';
import { isElf, parseElf } from './elf.ts';
import { type HostFile } from './host-files.ts';
import { hostImage } from './image-archive.ts';
import { parseLibraryCache } from './library-cache.ts';

/** A 64-bit ELF file: one segment that maps it all, an interpreter, and a dynamic section. */
function elfFile(interpreter: string, needed: readonly string[], runPath: string): Uint8Array {
  const file = new Uint8Array(1024);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(18, 62, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 3, true);
  const address = 0x400000;
  const segment = (index: number, type: number, offset: number, size: number) => {
    const at = 64 + index * 56;
    view.setUint32(at, type, true);
    view.setBigUint64(at + 8, BigInt(offset), true);
    view.setBigUint64(at + 16, BigInt(address + offset), true);
    view.setBigUint64(at + 32, BigInt(size), true);
  };
  let strings = 600;
  const text = (value: string) => {
    const at = strings;
    file.set(new TextEncoder().encode(`${value}\0`), at);
    strings += value.length + 1;
    return at;
  };
  const tags: [number, number][] = [
    [5, address + 600],
    ...needed.map((name): [number, number] => [1, text(name) - 600]),
    [29, text(runPath) - 600],
    [0, 0],
  ];
  for (const [i, [tag, value]] of tags.entries()) {
    view.setBigUint64(300 + i * 16, BigInt(tag), true);
    view.setBigUint64(308 + i * 16, BigInt(value), true);
  }
  segment(0, 1, 0, 1024);
  segment(1, 2, 300, tags.length * 16);
  segment(2, 3, text(interpreter), interpreter.length + 1);
  return file;
}

describe('ELF', () => {
  test('interpreter, libraries, search path', () => {
    expect(parseElf(elfFile('/lib64/ld.so', ['libc.so.6', 'libz.so.1'], '$ORIGIN/../lib:/opt'), '/x')).toEqual({
      bits: 64,
      machine: 62,
      interpreter: '/lib64/ld.so',
      needed: ['libc.so.6', 'libz.so.1'],
      rPath: [],
      runPath: ['$ORIGIN/../lib', '/opt'],
    });
  });
  test('cut anywhere it is an error or less, never a crash', () => {
    const file = elfFile('/lib64/ld.so', ['libc.so.6'], '/x');
    for (let length = 0; length < file.length; length += 7) {
      try {
        parseElf(file.slice(0, length), '/x');
      } catch (error) {
        expect(String(error)).toContain('Cannot read "/x" as a program');
      }
    }
  });
  test('other files', () => {
    expect(isElf(new TextEncoder().encode('#!/bin/sh'))).toBe(false);
    expect(() => parseElf(new Uint8Array(100), '/x')).toThrow('Cannot read "/x" as a program: it is no ELF file');
  });
});

test('the library cache prefers plain variants and skips what is for newer processors', () => {
  const texts = 'liba.so\0/lib/liba.so\0/lib/v3/liba.so\0';
  const start = 48 + 2 * 24;
  const cache = new Uint8Array(start + texts.length);
  const view = new DataView(cache.buffer);
  cache.set(new TextEncoder().encode('glibc-ld.so.cache1.1'));
  view.setUint32(20, 2, true);
  const entry = (i: number, value: number, capabilities: bigint) => {
    view.setUint32(48 + i * 24 + 4, start, true);
    view.setUint32(48 + i * 24 + 8, start + value, true);
    view.setBigUint64(48 + i * 24 + 16, capabilities, true);
  };
  entry(0, texts.indexOf('/lib/v3'), 2n);
  entry(1, texts.indexOf('/lib/liba'), 0n);
  cache.set(new TextEncoder().encode(texts), start);
  expect([...parseLibraryCache(cache)]).toEqual([['liba.so', ['/lib/liba.so']]]);
  expect(parseLibraryCache(new Uint8Array(10)).size).toBe(0);
});

test("busybox's applets", () => {
  const names = ['[', '[[', 'ash', 'awk', 'cat', 'cp', 'echo', 'env', 'ls', 'mv', 'ps', 'sh'];
  const bytes = (list: readonly string[]) => new TextEncoder().encode(`abc\0${list.join('\0')}\0\0rest`);
  expect(busyboxApplets(bytes(names))).toEqual(names);
  expect(busyboxApplets(bytes(names.slice(0, 5)))).toEqual([]);
  expect(busyboxApplets(new TextEncoder().encode('no busybox'))).toEqual([]);
});

describe('the image', () => {
  const file = (text: string): HostFile => ({ kind: 'file', mode: 0o755, bytes: new TextEncoder().encode(text) });
  const link = (target: string): HostFile => ({ kind: 'link', target });
  const entries: [string, HostFile][] = [
    ['/usr/bin/sh', file('shell')],
    ['/bin', link('usr/bin')],
    ['/usr/bin/ls', link('/usr/bin/sh')],
  ];
  const make = (files: readonly [string, HostFile][], reference = 'x:latest') =>
    hostImage({ files: new Map(files), reference, command: ['sh'], architecture: 'amd64', createdBy: 'test' });

  test('the same files are the same image, in any order and by any name', () => {
    const { id } = make(entries);
    expect(make(entries.toReversed()).id).toBe(id);
    expect(make(entries, 'y:1').id).toBe(id);
    expect(make([['/usr/bin/sh', file('other')], ...entries.slice(1)]).id).not.toBe(id);
  });
  test('a file inside what is no folder is refused', () => {
    expect(() => make([...entries, ['/bin/x', file('')]])).toThrow('"/bin" is no folder');
  });
  test('the archive has whole blocks', () => {
    const size = make(entries).pieces.reduce((sum, piece) => sum + piece.length, 0);
    expect(size % 512).toBe(0);
  });
});
