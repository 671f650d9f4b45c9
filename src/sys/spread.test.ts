import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { close, ioctl, open, statfs } from './files.ts';
import { IOCTL, O } from './numbers.ts';
import { spreadDirectories } from './spread.ts';

const EXT4 = 0xef53;

test('a directory is marked where the file system knows it, twice is fine, and elsewhere nothing happens', () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-spread-'));
  try {
    spreadDirectories(directory);
    spreadDirectories(directory);
    if (statfs(directory).type === EXT4) {
      const fd = open(directory, O.RDONLY | O.DIRECTORY);
      const flags = new Uint32Array(2);
      const bytes = new Uint8Array(flags.buffer);
      ioctl(fd, IOCTL.FS_IOC_GETFLAGS, bytes);
      close(fd);
      expect((flags[0] ?? 0) & 0x20000).toBe(0x20000);
    }
  } finally {
    fs.rmdirSync(directory);
  }
  // tmpfs has the calls and not this flag.
  for (const other of ['/proc', '/dev/shm', '/sys']) expect(() => spreadDirectories(other)).not.toThrow();
  expect(() => spreadDirectories(directory)).toThrow();
});
