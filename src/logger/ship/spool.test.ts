import { afterEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { INPUT, LogEncoder } from '../json-file/encoder.ts';
import { CompactEncoder } from '../local/encoder.ts';
import { sequenceOf } from '../local/sequence.ts';
import { LogFile, type LogFileTarget } from '../log-file.ts';
import { Spool } from './spool.ts';

const places: string[] = [];
afterEach(() => {
  for (const place of places.splice(0)) rmSync(place, { recursive: true });
});

function writer(maxFiles = 4) {
  const place = mkdtempSync(join(tmpdir(), 'berth-spool-'));
  places.push(place);
  const target: LogFileTarget = {
    ...{ driver: 'local', path: join(place, 'log'), maxSizeBytes: 1000, maxFiles, compress: false, attrs: '' },
  };
  const file = new LogFile(target);
  let ns = 1_795_000_000_000_000_000n;
  const json = new LogEncoder(() => ns);
  const compact = new CompactEncoder(json.u8, () => ns++);
  let sequence = 0;
  return {
    target,
    write: (text: string) => {
      const input = Buffer.from(text);
      json.u8.set(input, INPUT);
      const how = { stream: 'stdout', attrs: '', start: INPUT, outputBytesMax: 1e6, final: true, sequence } as const;
      const { output, lines = 0 } = compact.encode({ ...how, end: INPUT + input.length });
      file.append(output);
      sequence += lines;
    },
    rotate: () => file.rotate(),
  };
}

async function rest(spool: Spool): Promise<string[]> {
  const lines: string[] = [];
  for (let line = await spool.next(); line !== undefined; line = await spool.next()) {
    lines.push(Buffer.from(line.text).toString());
  }
  return lines;
}

test('lines in order over rotation, from any line on', async () => {
  const log = writer();
  log.write('a\nb\n');
  using spool = await Spool.open(log.target, 0);
  expect(await rest(spool)).toEqual(['a', 'b']);
  log.write('c\n');
  log.rotate();
  log.write('d\ne\n');
  expect(await rest(spool)).toEqual(['c', 'd', 'e']);
  expect(spool.sequence).toBe(5);
  expect(sequenceOf(log.target)).toBe(5);
  log.rotate();
  expect(sequenceOf(log.target)).toBe(5);
  using later = await Spool.open(log.target, 3);
  expect(await rest(later)).toEqual(['d', 'e']);
  expect(later.takeLost()).toBe(0);
});

test('what was deleted before it was read is counted; what is open is read to its end', async () => {
  const log = writer(2);
  log.write('a\n');
  using spool = await Spool.open(log.target, 0);
  expect((await spool.next())?.text.toString()).toBe('a');
  log.write('b\n');
  log.rotate();
  log.write('c\nd\n');
  log.rotate();
  log.write('e\n');
  log.rotate();
  log.write('f\n');
  expect(await rest(spool)).toEqual(['b', 'e', 'f']);
  expect(spool.takeLost()).toBe(2);
});

test('the oldest are left out until no more waits than may', async () => {
  const log = writer();
  for (let i = 0; i < 10; i++) log.write(`line ${i}\n`);
  log.rotate();
  for (let i = 10; i < 20; i++) log.write(`line ${i}\n`);
  using spool = await Spool.open(log.target, 0);
  await spool.next();
  const one = 'line 10\n'.length + 36;
  await spool.skipTo(3 * one);
  expect(spool.takeLost()).toBe(16);
  expect(await rest(spool)).toEqual(['line 17', 'line 18', 'line 19']);
});

test('pieces of a long line are numbered, and the last says so', async () => {
  const log = writer();
  log.write(`${'x'.repeat(40_000)}\nshort\n`);
  log.write('unterminated');
  using spool = await Spool.open(log.target, 0);
  const pieces = [];
  for (let line = await spool.next(); line !== undefined; line = await spool.next()) {
    pieces.push([line.text.length, line.piece?.ordinal, line.piece?.last]);
  }
  expect(pieces).toEqual([
    [16_384, 1, false],
    [16_384, 2, false],
    [7232, 3, true],
    [5, undefined, undefined],
    [12, 1, false],
  ]);
});
