import { afterEach, describe, expect, test } from 'bun:test';
import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { formatTime, lineEnd } from './json-file/format.ts';
import { LogReader, type ReadLogsRequest } from './read.ts';
import { tailOffset, timeOffset } from './json-file/search.ts';

const reader = new LogReader();
const dirs: string[] = [];
const second = 1_000_000_000n;
const start = 1_795_000_000n * second;

afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true });
});

function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), 'berth-read-'));
  dirs.push(dir);
  return join(dir, 'json.log');
}

/** Line `n` was written n seconds after the start. */
const lineOf = (n: number, text = `${n}\n`, stream: 'stdout' | 'stderr' = 'stdout') =>
  `{"log":${JSON.stringify(text).slice(0, -1)}${lineEnd(stream, '', formatTime(start + BigInt(n) * second))}`;
const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => lineOf(from + i)).join('');
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `${from + i}\n`).join('');

const request = (
  path: string,
  { maxFiles = 5, ...over }: Partial<ReadLogsRequest> & { maxFiles?: number } = {},
): ReadLogsRequest => ({
  log: { driver: 'json-file', path, maxFiles, attrs: '' },
  stdout: true,
  stderr: true,
  timestamps: false,
  details: false,
  frames: 'none',
  sinceNs: 0n,
  untilNs: 0n,
  tail: -1,
  follow: undefined,
  upTo: undefined,
  signal: new AbortController().signal,
  ...over,
});

/** Collects output; `until` resolves when it has the text. */
function collector() {
  let text = '';
  let check = () => {};
  return {
    sink: {
      write: async (bytes: Uint8Array) => {
        text += Buffer.from(bytes).toString();
        check();
      },
    },
    get text() {
      return text;
    },
    until: (end: string) =>
      new Promise<void>((resolve) => {
        check = () => {
          if (text.endsWith(end)) resolve();
        };
        check();
      }),
  };
}

async function read(path: string, over: Partial<ReadLogsRequest> = {}): Promise<string> {
  const got = collector();
  await reader.read(request(path, over), got.sink);
  return got.text;
}

function rotatedSet(): string {
  const path = scratch();
  writeFileSync(`${path}.2`, lines(0, 100));
  writeFileSync(`${path}.1`, lines(100, 200));
  writeFileSync(path, `${lines(200, 250)}{"log":"not finis`);
  return path;
}

describe('reading a rotated set', () => {
  test('in order, without the unfinished line', async () => {
    expect(await read(rotatedSet())).toBe(numbers(0, 250));
  });

  for (const [tail, from] of [
    [0, 250],
    [1, 249],
    [50, 200],
    [51, 199],
    [150, 100],
    [249, 1],
    [250, 0],
    [9999, 0],
  ] as const) {
    test(`tail ${tail}`, async () => expect(await read(rotatedSet(), { tail })).toBe(numbers(from, 250)));
  }

  for (const [since, until, from, to] of [
    [0, 0, 0, 250],
    [1, 0, 1, 250],
    [99, 100, 99, 101],
    [100, 200, 100, 201],
    [249, 0, 249, 250],
    [250, 0, 250, 250],
    [10, 5, 10, 10],
  ] as const) {
    test(`since ${since} until ${until}`, async () => {
      const bound = (n: number) => (n === 0 ? 0n : start + BigInt(n) * second);
      const got = await read(rotatedSet(), { sinceNs: bound(since), untilNs: bound(until) });
      expect(got).toBe(numbers(from, to));
    });
  }

  test('tail and since and a stream and times together', async () => {
    const path = scratch();
    writeFileSync(path, lines(0, 8) + lineOf(8, 'e\n', 'stderr') + lines(9, 12));
    expect(await read(path, { tail: 5, sinceNs: start + 8n * second, stdout: false, timestamps: true })).toBe(
      `${formatTime(start + 8n * second)} e\n`,
    );
  });

  test('nothing there', async () => expect(await read(scratch())).toBe(''));

  test('damage is skipped, also a line that never ends', async () => {
    const path = scratch();
    writeFileSync(
      path,
      `${lines(0, 3)}garbage\n${'\0'.repeat(5000)}${lines(3, 5)}${'x'.repeat(1_500_000)}\n${lines(5, 7)}`,
    );
    // The NULs make the line that they run into unreadable as well.
    expect(await read(path)).toBe(numbers(0, 3) + numbers(4, 7));
  });
});

describe('search', () => {
  test('agrees with counting, whatever the lengths', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 70_000 }), { maxLength: 12 }),
        fc.nat({ max: 14 }),
        fc.nat({ max: 14 }),
        (lengths, tail, at) => {
          const path = scratch();
          const texts = lengths.map((length, n) => lineOf(n, `${'y'.repeat(length)}\n`));
          writeFileSync(path, texts.join(''));
          const size = texts.join('').length;
          const offsetOf = (n: number) => texts.slice(0, Math.max(n, 0)).join('').length;
          const fd = openSync(path, 'r');
          try {
            expect(tailOffset(fd, size, tail).offset).toBe(offsetOf(texts.length - tail));
            expect(timeOffset(fd, size, start + BigInt(at) * second)).toBe(offsetOf(at));
            expect(timeOffset(fd, size, start + BigInt(at) * second, true)).toBe(offsetOf(at + 1));
          } finally {
            closeSync(fd);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('following', () => {
  test('from a time in the future on: what comes before it is left out', async () => {
    const path = scratch();
    writeFileSync(path, lines(0, 2));
    const got = collector();
    const ended = new AbortController();
    const done = reader.read(
      request(path, { follow: { ended: ended.signal }, sinceNs: start + 4n * second }),
      got.sink,
    );
    await Bun.sleep(5);
    appendFileSync(path, lines(2, 4));
    await Bun.sleep(5);
    appendFileSync(path, lines(4, 6));
    ended.abort();
    await done;
    expect(got.text).toBe(numbers(4, 6));
  });

  test('a log whose first line comes with the end of its container is read', async () => {
    const path = scratch();
    const got = collector();
    const ended = new AbortController();
    const done = reader.read(request(path, { follow: { ended: ended.signal } }), got.sink);
    await Bun.sleep(5);
    writeFileSync(path, lines(0, 1));
    ended.abort();
    await done;
    expect(got.text).toBe(numbers(0, 1));
  });

  test('new lines, a rotation by rename, one by unlink, the end', async () => {
    const path = scratch();
    writeFileSync(path, lines(0, 3));
    const ended = new AbortController();
    const got = collector();
    const done = reader.read(request(path, { follow: { ended: ended.signal }, tail: 1 }), got.sink);
    await got.until('2\n');
    appendFileSync(path, lines(3, 5));
    await got.until('4\n');
    appendFileSync(path, lines(5, 6));
    renameSync(path, `${path}.1`);
    writeFileSync(path, lines(6, 7));
    await got.until('6\n');
    appendFileSync(path, lines(7, 8));
    await got.until('7\n');
    appendFileSync(path, lines(8, 9));
    ended.abort();
    await done;
    expect(got.text).toBe(numbers(2, 9));
  });

  test('a rotation that keeps one file', async () => {
    const path = scratch();
    writeFileSync(path, lines(0, 1));
    const ended = new AbortController();
    const got = collector();
    const done = reader.read(request(path, { follow: { ended: ended.signal }, maxFiles: 1 }), got.sink);
    await got.until('0\n');
    for (let i = 1; i < 20; i++) {
      rmSync(path);
      writeFileSync(path, lines(i, i + 1));
      await got.until(`${i}\n`);
    }
    ended.abort();
    await done;
    expect(got.text).toBe(numbers(0, 20));
  });

  test('ends when the client goes, when until has passed, when the output has ended before', async () => {
    const path = scratch();
    writeFileSync(path, lines(0, 3));
    const gone = new AbortController();
    const never = new AbortController().signal;
    const got = collector();
    const done = reader.read(request(path, { follow: { ended: never }, signal: gone.signal }), got.sink);
    await got.until('2\n');
    gone.abort();
    await done;
    expect(await read(path, { follow: { ended: never }, untilNs: start + second })).toBe(numbers(0, 2));
    expect(await read(path, { follow: { ended: AbortSignal.abort() } })).toBe(numbers(0, 3));
  });

  test('goes on when somebody truncates the file', async () => {
    const path = scratch();
    writeFileSync(path, lines(0, 3));
    const ended = new AbortController();
    const got = collector();
    const done = reader.read(request(path, { follow: { ended: ended.signal } }), got.sink);
    await got.until('2\n');
    truncateSync(path, 0);
    appendFileSync(path, lines(3, 4));
    await got.until('3\n');
    ended.abort();
    await done;
  });
});
