import { expect, test } from 'bun:test';
import { close, open, ownedFd, pipe2 } from '../files.ts';
import { bindDetached } from '../mounts.ts';
import { O } from '../numbers.ts';
import { FakeKernel } from './fake-kernel.ts';
import { Recorder } from './ledger.ts';

test('the recorder counts, and its ledger knows what is open', () => {
  using recorder = new Recorder();
  const fd = open('/dev/null', O.RDONLY);
  const pipe = pipe2();
  expect(recorder.calls.map((c) => c.name)).toEqual(['openat', 'pipe2']);
  expect(recorder.ledger.live()).toEqual([
    { fd, by: 'openat' },
    { fd: pipe.read, by: 'pipe2' },
    { fd: pipe.write, by: 'pipe2' },
  ]);
  for (const each of [fd, pipe.read, pipe.write]) close(each);
  expect(recorder.ledger.live()).toEqual([]);
});

test('the n-th call of a name fails as ordered', () => {
  using recorder = new Recorder();
  recorder.failOn('openat', 2, 'EMFILE');
  using _first = ownedFd(open('/dev/null', O.RDONLY));
  expect(() => open('/dev/null', O.RDONLY)).toThrow('EMFILE');
});

test('whichever call of a detached bind fails, nothing stays open', () => {
  let count: number;
  {
    using kernel = new FakeKernel();
    bindDetached('/srv', { recursive: true, readOnly: true });
    count = kernel.calls.length;
    expect(kernel.calls.map((c) => c.name)).toEqual(['open_tree', 'mount_setattr', 'mount_setattr']);
  }
  for (let k = 1; k <= count; k++) {
    using kernel = new FakeKernel();
    kernel.failAt(k, 'EPERM');
    expect(() => bindDetached('/srv', { recursive: true, readOnly: true })).toThrow('EPERM');
    expect(kernel.ledger.live()).toEqual([]);
  }
});
