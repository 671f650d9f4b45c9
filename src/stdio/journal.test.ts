import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Journal } from './journal.ts';

let dir = '';
let journal: Journal;
const path = () => join(dir, 'journal');
/** What a kill and a new start do to it: the pages stay as they are. */
function killed(): void {
  journal[Symbol.dispose]();
  journal = new Journal(path());
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'berth-journal-'));
  journal = new Journal(path());
});
afterEach(() => {
  journal[Symbol.dispose]();
  rmSync(dir, { recursive: true });
});

const start = { consumed: 0, size: 100, ino: 7n };
const begin = (slot: number, length: number, exact = true, final = false) =>
  journal.begin({ slot, description: 'which log', length, exact, final, progress: start });
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

/** A chunk that leaves an unfinished line behind. */
function commitRest(slot: number, rest: string): void {
  begin(slot, 4);
  journal.chunk.set(Buffer.from('text'));
  journal.arrived(4);
  journal.setRest(slot, Buffer.from(rest));
  journal.commit();
}

describe('a kill', () => {
  for (const length of [1, 5, 16, 1000]) {
    test(`before a read of ${length} bytes from a pipe: nothing was in flight`, () => {
      const slot = journal.slot('a.stdout');
      commitRest(slot, 'rest');
      begin(slot, length);
      killed();
      expect(journal.recover()).toBeUndefined();
      expect(text(journal.rest(journal.slot('a.stdout')))).toBe('rest');
    });

    test(`after a read of ${length} bytes, before it was noted: they are all there`, () => {
      const slot = journal.slot('a.stdout');
      begin(slot, length);
      const bytes = Buffer.alloc(length, 'né');
      journal.chunk.set(bytes);
      killed();
      expect(journal.recover()).toEqual({ description: 'which log', slot, length, final: false, progress: start });
      expect(text(journal.chunk.subarray(0, length))).toBe(text(bytes));
    });
  }

  test('after a read from a terminal, which gives any number', () => {
    begin(journal.slot('t.stdout'), 4096, false);
    journal.chunk.set(Buffer.from('prompt> '));
    killed();
    expect(journal.recover()?.length).toBe(8);
    journal.commit();
    begin(journal.slot('t.stdout'), 4096, false);
    killed();
    expect(journal.recover()).toBeUndefined();
  });

  test('after the new unfinished line was put down, before the chunk was committed: the old one holds', () => {
    const slot = journal.slot('a.stdout');
    for (const round of ['first', 'second', '']) {
      const before = text(journal.rest(slot));
      begin(slot, 3);
      journal.chunk.set(Buffer.from('abc'));
      journal.arrived(3);
      journal.progress({ consumed: 2, size: 0, ino: 8n });
      journal.setRest(slot, Buffer.from(round));
      killed();
      expect(text(journal.rest(slot))).toBe(before);
      expect(journal.recover()?.progress).toEqual({ consumed: 2, size: 0, ino: 8n });
      journal.setRest(slot, Buffer.from(round));
      journal.commit();
      killed();
      expect(journal.recover()).toBeUndefined();
      expect(text(journal.rest(slot))).toBe(round);
    }
  });

  test('at the end of a stream: the unfinished line is still to be written', () => {
    const slot = journal.slot('a.stdout');
    commitRest(slot, 'unfinished');
    begin(slot, 0, true, true);
    killed();
    expect(journal.recover()).toMatchObject({ slot, length: 0, final: true });
  });
});

describe('slots', () => {
  test('keep their unfinished lines over restarts until nobody claims them', () => {
    commitRest(journal.slot('a.stdout'), 'of a');
    commitRest(journal.slot('b.stdout'), 'of b');
    killed();
    expect(text(journal.rest(journal.slot('a.stdout')))).toBe('of a');
    journal.releaseUnclaimed();
    killed();
    expect(text(journal.rest(journal.slot('a.stdout')))).toBe('of a');
    expect(text(journal.rest(journal.slot('b.stdout')))).toBe('');
  });

  test('a released one is empty for the next', () => {
    const slot = journal.slot('a.stdout');
    commitRest(slot, 'x'.repeat(16_000));
    journal.release(slot);
    expect(journal.rest(journal.slot('c.stdout')).length).toBe(0);
    commitRest(journal.slot('c.stdout'), 'y'.repeat(16_386));
    expect(journal.rest(journal.slot('c.stdout')).length).toBe(16_386);
  });
});

test('a file of another version is begun anew', () => {
  commitRest(journal.slot('a.stdout'), 'old');
  journal[Symbol.dispose]();
  writeFileSync(path(), 'something else');
  journal = new Journal(path());
  expect(journal.recover()).toBeUndefined();
  expect(journal.rest(journal.slot('a.stdout')).length).toBe(0);
});
