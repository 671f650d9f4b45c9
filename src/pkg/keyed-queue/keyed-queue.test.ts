import { expect, test } from 'bun:test';
import { KeyedQueue } from './keyed-queue.ts';

test('work of one key runs in order, also after a failure; other keys are not waited for', async () => {
  const queue = new KeyedQueue();
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = queue.run('a', async () => {
    await gate.promise;
    order.push('a1');
    throw new Error('a1 failed');
  });
  const second = queue.run('a', () => order.push('a2'));
  await queue.run('b', () => order.push('b1'));
  expect(order).toEqual(['b1']);
  gate.resolve();
  expect(first).rejects.toThrow('a1 failed');
  await second;
  expect(order).toEqual(['b1', 'a1', 'a2']);
  await Bun.sleep(0);
  expect(queue.size).toBe(0);
});
