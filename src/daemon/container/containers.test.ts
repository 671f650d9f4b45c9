import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GraphDb } from '#graphdb/graphdb.ts';
import { Containers } from './containers.ts';
import { testRecord } from './testing.ts';
import { Waiters } from './waiters.ts';

async function failureOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return 'no failure';
}

describe('the registry of containers', () => {
  let directory: string;
  let db: GraphDb;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'containers-'));
    db = GraphDb.open(join(directory, 'graph.db'));
  });
  afterEach(() => {
    db.close();
    rmSync(directory, { recursive: true });
  });

  test('finds by id, name and unique prefix', () => {
    const containers = new Containers(db);
    containers.insert(testRecord({ id: 'aa11', name: 'web' }));
    containers.insert(testRecord({ id: 'aa22', name: 'aa1' }));
    expect(containers.resolve('aa11').name).toBe('web');
    expect(containers.resolve('/web').id).toBe('aa11');
    // A name wins over a prefix.
    expect(containers.resolve('aa1').id).toBe('aa22');
    expect(() => containers.resolve('aa')).toThrow('multiple IDs found with provided prefix: aa');
    expect(() => containers.resolve('nope')).toThrow('No such container: nope');
  });

  test('a name is one container', async () => {
    const containers = new Containers(db);
    containers.insert(testRecord({ id: 'a1', name: 'web' }));
    expect(() => containers.insert(testRecord({ id: 'a2', name: 'web' }))).toThrow(
      'Conflict. The container name "/web" is already in use by container "a1". ' +
        'You have to remove (or rename) that container to be able to reuse that name.',
    );
    containers.insert(testRecord({ id: 'a2', name: 'db' }));
    expect(await failureOf(containers.run('a2', (held) => containers.rename(held, 'web')))).toStartWith('Conflict.');
    await containers.run('a1', (held) => containers.rename(held, 'www'));
    await containers.run('a2', (held) => containers.rename(held, 'web'));
    expect(new Containers(db).resolve('web').id).toBe('a2');
  });

  test('what the queue hands in is fresh, and what it writes is kept', async () => {
    const containers = new Containers(db);
    containers.insert(testRecord({ id: 'a1', name: 'web' }));
    const first = containers.run('a1', async (held) => {
      await new Promise((resolve) => setImmediate(resolve));
      held.update({ restartCount: 1 });
    });
    const second = containers.run('a1', (held) => held.record.restartCount);
    await first;
    expect(await second).toBe(1);
    expect(new Containers(db).resolve('a1').restartCount).toBe(1);
  });

  test('one that is being made or is gone is not found', async () => {
    const containers = new Containers(db);
    containers.insert(testRecord({ id: 'a1', name: 'web', complete: false }));
    expect(() => containers.resolve('web')).toThrow('No such container: web');
    expect(containers.nameIsFree('web')).toBe(false);
    await containers.run('a1', () => containers.forget('a1'));
    expect(containers.nameIsFree('web')).toBe(true);
    expect(await failureOf(containers.run('a1', () => 1))).toBe('No such container: a1');
    expect(new Containers(db).everything()).toEqual([]);
  });
});

describe('waiters', () => {
  const outcome = { exitCode: 3, error: '' };
  test('an exit answers all but those who wait for the removal', async () => {
    const waiters = new Waiters();
    const exit = waiters.wait('a', 'next-exit');
    const removed = waiters.wait('a', 'removed');
    let gone = false;
    void removed.then(() => (gone = true));
    waiters.exited('a', outcome);
    expect(await exit).toEqual(outcome);
    expect(gone).toBe(false);
    waiters.removed('a', { ...outcome, exitCode: 4 });
    expect((await removed).exitCode).toBe(4);
  });

  test('who goes away waits no more', async () => {
    const waiters = new Waiters();
    const controller = new AbortController();
    const waiting = waiters.wait('a', 'not-running', controller.signal);
    controller.abort(new Error('gone'));
    expect(await failureOf(waiting)).toBe('gone');
    waiters.exited('a', outcome);
  });
});
