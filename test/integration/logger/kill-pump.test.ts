/**
 * No number missing and none twice: programs write numbered lines while the process that logs them is killed (SIGKILL)
 * and started again over the same pipes, hundreds of times, at random moments. The seed is printed.
 */
import { afterEach, expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LogReader } from '#logger/read.ts';
import { rotatedPath } from '#logger/log-file.ts';
import { close, pipe2 } from '#sys/files.ts';

const KILLS = Number(process.env['BERTH_TEST_KILLS'] ?? 40);
const program = join(import.meta.dir, 'killed-pump/main.ts');
const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), 'berth-kill-'));
  cleanups.push(() => rmSync(dir, { recursive: true }));
  return dir;
}

/** A small generator with a printed seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Numbers of one stream in the order of the log, over all its files. */
function numbers(path: string, stream: string): number[] {
  let text = '';
  for (let i = 20; i >= 0; i--) {
    const file = rotatedPath(path, i);
    if (!existsSync(file)) continue;
    for (const line of readFileSync(file, 'utf8').split('\n')) {
      if (line === '') continue;
      // as: a line of our own log; one that is no JSON fails the test.
      const entry = JSON.parse(line) as { log: string; stream: string };
      if (entry.stream === stream) text += entry.log;
    }
  }
  expect(text.endsWith('\n')).toBe(true);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => Number(/^(\d+) x*$/.exec(line)?.[1] ?? Number.NaN));
}

/** The same of the compact format, as `logs` reads it. */
async function compactNumbers(path: string, stream: string): Promise<number[]> {
  const pieces: Uint8Array[] = [];
  await new LogReader().read(
    {
      log: { driver: 'local', path, maxFiles: 21, attrs: '' },
      stdout: stream === 'stdout',
      stderr: stream === 'stderr',
      ...{ timestamps: false, details: false, frames: 'none', sinceNs: 0n, untilNs: 0n, tail: -1 },
      ...{ follow: undefined, upTo: undefined, signal: new AbortController().signal },
    },
    {
      write: (bytes) => {
        pieces.push(bytes.slice());
        return Promise.resolve();
      },
    },
  );
  const lines = Buffer.concat(pieces).toString().trimEnd().split('\n');
  return lines.map((line) => Number(/^(\d+) x*$/.exec(line)?.[1] ?? Number.NaN));
}

/** A writer of `count` numbered lines of different lengths, in writes that end anywhere. */
const writer = (count: number, pauseEvery: number) => `
  const fs = require('node:fs'); let text = '';
  for (let i = 1; i <= ${count}; i++) {
    text += i + ' ' + 'x'.repeat((i * 7919) % 61) + '\\n';
    while (text.length > 3001) { const k = 1 + (i * 31) % 3000; fs.writeSync(1, text.slice(0, k)); text = text.slice(k); }
    if (i % ${pauseEvery} === 0) Bun.sleepSync(1);
  }
  fs.writeSync(1, text);`;

interface Run {
  readonly count: number;
  readonly pauseEvery: number;
  readonly maxSize: number;
  readonly maxFiles: number;
  readonly driver?: 'local';
}

async function run(options: Run) {
  const seed = Number(process.env['BERTH_TEST_SEED'] ?? Date.now() % 1_000_000);
  console.log(`seed ${seed}, ${KILLS} kills`);
  const chance = random(seed);
  const dir = scratch();
  const path = join(dir, 'json.log');
  const pipes = [pipe2(), pipe2()] as const;
  const writers = pipes.map(({ write }, i) =>
    Bun.spawn([process.execPath, '-e', writer(options.count, options.pauseEvery + i)], {
      stdout: write,
      stdin: 'ignore',
    }),
  );
  for (const { write } of pipes) close(write);
  let kills = 0;
  for (;;) {
    const started = performance.now();
    const child = Bun.spawn(
      [
        process.execPath,
        program,
        dir,
        path,
        String(options.maxSize),
        String(options.maxFiles),
        'pipe',
        options.driver ?? '',
      ],
      { stdio: ['ignore', 'pipe', 'inherit', pipes[0].read, pipes[1].read] },
    );
    // Killed at a random moment after it has begun.
    await child.stdout.getReader().read();
    const timer = kills < KILLS ? setTimeout(() => child.kill('SIGKILL'), chance() * 30) : undefined;
    await child.exited;
    clearTimeout(timer);
    if (child.signalCode === null) {
      expect(child.exitCode).toBe(0);
      break;
    }
    kills++;
    expect(performance.now() - started).toBeLessThan(10_000);
  }
  for (const { read } of pipes) close(read);
  for (const w of writers) expect(await w.exited).toBe(0);
  console.log(`${kills} kills`);
  for (const stream of ['stdout', 'stderr']) {
    const got = options.driver === 'local' ? await compactNumbers(path, stream) : numbers(path, stream);
    const wrong = got.findIndex((n, i) => n !== i + 1);
    expect(wrong < 0 ? 'in order' : `${stream}: ${got.slice(Math.max(wrong - 2, 0), wrong + 3).join(' ')}`).toBe(
      'in order',
    );
    expect(got.length).toBe(options.count);
  }
}

test('at full speed, one file', () => run({ count: 1_000_000, pauseEvery: 1e9, maxSize: -1, maxFiles: 1 }), 300_000);

test('trickling', () => run({ count: 40_000, pauseEvery: 20, maxSize: -1, maxFiles: 1 }), 300_000);

test(
  'with a rotation every few milliseconds',
  () => run({ count: 200_000, pauseEvery: 250, maxSize: 3_000_000, maxFiles: 21 }),
  300_000,
);

test(
  'the compact format, with rotations',
  () => run({ count: 200_000, pauseEvery: 250, maxSize: 1_000_000, maxFiles: 21, driver: 'local' }),
  300_000,
);
