import { expect, test } from 'bun:test';
import { call } from './call.ts';
import { NR } from './numbers.ts';
import { takeShortTurns } from './scheduling.ts';

function attributes(): DataView {
  const bytes = new Uint8Array(48);
  expect(call(NR.sched_getattr, 0, bytes, 48, 0)).toBe(0);
  return new DataView(bytes.buffer);
}

test('short turns leave policy and niceness alone, and are not inherited', () => {
  const before = attributes();
  const isOurs = before.getUint32(4, true) === 0 && before.getInt32(16, true) >= 0;
  expect(takeShortTurns()).toBe(isOurs);
  const after = attributes();
  expect(after.getUint32(4, true)).toBe(before.getUint32(4, true));
  expect(after.getInt32(16, true)).toBe(before.getInt32(16, true));
  expect(after.getBigUint64(8, true) & 1n).toBe(isOurs ? 1n : before.getBigUint64(8, true) & 1n);
});
