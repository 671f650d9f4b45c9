/** A log on a full disk loses lines, keeps whole ones, says so once, and goes on when there is room; nobody is blocked. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { close, pipe2 } from '#sys/files.ts';
import { Pump } from '#stdio/pump.ts';
import { must } from '../../support/command.ts';

let root = '';
let disk = '';
let pump: Pump;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'berth-full-'));
  disk = join(root, 'disk');
  mkdirSync(disk);
  await must('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'berth-full', disk]);
  pump = await Pump.start({ execRoot: root });
});
afterAll(async () => {
  await pump.close();
  await must('umount', [disk]);
  rmSync(root, { recursive: true });
});

function entries(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  expect(text.endsWith('\n')).toBe(true);
  // as: lines of our own log.
  return text
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { log: string }).log);
}

test('lines are lost, the writer is not', async () => {
  const path = join(disk, 'json.log');
  const output = pump.open('full', {
    tty: false,
    log: { driver: 'json-file', path, maxSizeBytes: -1, maxFiles: 1, compress: false, attrs: '' },
  });
  const pipe = pipe2();
  output.start({ stdout: pipe.read });
  close(pipe.read);
  const writer = Bun.spawn(['sh', '-c', 'seq 1 200000'], { stdin: 'ignore', stdout: pipe.write });
  expect(await writer.exited).toBe(0);
  // Everything before it has been read when the output can be held.
  const settled = async () => {
    const held = await output.hold({ stdout: true, stderr: true });
    held.cancel();
    return held.position?.size ?? 0;
  };
  while ((await settled()) === 0) await Bun.sleep(5);
  await Bun.sleep(50);
  const kept = entries(path);
  expect(statSync(path).size).toBeLessThanOrEqual(1 << 20);
  expect(kept.slice(0, 1000)).toEqual(Array.from({ length: 1000 }, (_, i) => `${i + 1}\n`));
  // Somebody makes room.
  writeFileSync(path, '');
  writeSync(pipe.write, 'room again\n');
  close(pipe.write);
  await output.drained;
  expect(entries(path).at(-1)).toBe('room again\n');
});
