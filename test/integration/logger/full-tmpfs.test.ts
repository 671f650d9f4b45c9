/** A full tmpfs under the journal costs durability of unfinished lines, never a line of the log or the daemon. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { close, pipe2 } from '#sys/files.ts';
import { Pump } from '#stdio/pump.ts';
import { must } from '../../support/command.ts';

let root = '';
let execRoot = '';
let pump: Pump;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'berth-tmpfs-'));
  execRoot = join(root, 'exec');
  mkdirSync(execRoot);
  await must('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'berth-exec', execRoot]);
  pump = await Pump.start({ execRoot });
});
afterAll(async () => {
  await pump.close();
  await must('umount', [execRoot]);
  rmSync(root, { recursive: true });
});

test('lines in pieces are put together all the same', async () => {
  const outputs = [0, 1, 2].map((i) => {
    const path = join(root, `${i}.log`);
    const output = pump.open(`${i}`.repeat(64), {
      tty: false,
      log: { driver: 'json-file', path, maxSizeBytes: -1, maxFiles: 1, compress: false, attrs: '' },
    });
    const pipe = pipe2();
    output.start({ stdout: pipe.read });
    close(pipe.read);
    return { path, output, pipe };
  });
  // The slots are there; now the rest of the tmpfs is filled.
  const held = await outputs[0]?.output.hold({ stdout: true, stderr: true });
  held?.cancel();
  expect(() => writeFileSync(join(execRoot, 'filler'), Buffer.alloc(2 << 20))).toThrow('ENOSPC');
  for (let i = 0; i < 200; i++) {
    for (const { pipe } of outputs) writeSync(pipe.write, `${'x'.repeat(150)}${i % 50 === 49 ? '\n' : ''}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const { path, output, pipe } of outputs) {
    close(pipe.write);
    await output.drained;
    // as: lines of our own log.
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { log: string }).log)).toEqual(
      Array.from({ length: 4 }, () => `${'x'.repeat(150 * 50)}\n`),
    );
  }
});
