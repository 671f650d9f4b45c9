import { expect, test } from 'bun:test';
import { call, interpose, must, transfer } from './call.ts';
import { isErrno, SysError } from './errno.ts';
import { close, memfdCreate, pread, readAll, writeAll } from './files.ts';
import { AT, NR, O } from './numbers.ts';

test('a call answers with its result, or with the negative errno', () => {
  expect(call(NR.getpid)).toBe(process.pid);
  expect(call(NR.openat, AT.FDCWD, '/nowhere', O.RDONLY, 0)).toBe(-2);
});

test('must throws with the call, its errno and its text', () => {
  let thrown: unknown;
  try {
    must('openat', NR.openat, AT.FDCWD, '/nowhere', O.RDONLY, 0);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(SysError);
  expect(thrown).toMatchObject({ syscall: 'openat', errno: 2, code: 'ENOENT', message: 'openat "/nowhere": ENOENT' });
  expect(isErrno(thrown, 'EACCES', 'ENOENT')).toBe(true);
  expect(isErrno(thrown, 'EACCES')).toBe(false);
});

test('a byte array is read and written back', () => {
  const pair = new Uint8Array(8);
  expect(call(NR.pipe2, pair, O.CLOEXEC)).toBe(0);
  const [a = 0, b = 0] = new Int32Array(pair.buffer);
  expect(b).toBeGreaterThan(a);
  for (const fd of [a, b]) close(fd);
});

test('a text with NUL is refused before the kernel cuts it', () => {
  expect(() => call(NR.openat, AT.FDCWD, '/etc/passwd\0x', O.RDONLY, 0)).toThrow('NUL');
});

test('buffers of any size go without a copy', () => {
  const fd = memfdCreate('test');
  const bytes = new Uint8Array(3 << 20).map((_, i) => i % 251);
  writeAll(fd, bytes);
  const back = new Uint8Array(bytes.length);
  expect(pread(fd, back, 0)).toBe(bytes.length);
  expect(Buffer.compare(back, bytes)).toBe(0);
  must('lseek', NR.lseek, fd, 0, 0);
  expect(readAll(fd).length).toBe(bytes.length);
  close(fd);
});

test('an interposer stands for every call until it is disposed', () => {
  const seen: number[] = [];
  {
    using _ = interpose((nr, _args, proceed) => {
      seen.push(nr);
      return nr === NR.getppid ? -5 : proceed();
    });
    expect(call(NR.getppid)).toBe(-5);
    expect(call(NR.getpid)).toBe(process.pid);
    expect(transfer(NR.read, -1, new Uint8Array(1))).toBe(-9);
    expect(() => interpose(() => 0)).toThrow('one interposer');
  }
  expect(call(NR.getppid)).toBe(process.ppid);
  expect(seen).toEqual([NR.getppid, NR.getpid, NR.read]);
});
