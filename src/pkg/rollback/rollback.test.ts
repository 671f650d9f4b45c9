import { expect, test } from 'bun:test';
import { Rollback } from './rollback.ts';

async function operation(fail: boolean, undone: string[], onUndoFailed?: (step: string) => void): Promise<void> {
  await using undo = new Rollback({ stepLimitMs: 20, ...(onUndoFailed ? { onUndoFailed } : {}) });
  undo.defer('first', () => void undone.push('first'));
  undo.defer('broken', () => {
    throw new Error('cannot undo');
  });
  undo.defer('hangs', () => new Promise(() => undefined));
  undo.defer('last', () => void undone.push('last'));
  if (fail) throw new Error('the real error');
  undo.commit();
}

test('a failure undoes in reverse, past undos that fail or hang, and the first error gets through', async () => {
  const undone: string[] = [];
  const told: string[] = [];
  expect(operation(true, undone, (s) => told.push(s))).rejects.toThrow('the real error');
  await operation(true, [], undefined).catch(() => undefined);
  expect(undone).toEqual(['last', 'first']);
  expect(told).toEqual(['hangs', 'broken']);
});

test('after commit nothing is undone', async () => {
  const undone: string[] = [];
  await operation(false, undone);
  expect(undone).toEqual([]);
});
