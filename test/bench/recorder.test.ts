import { expect, test } from 'bun:test';
import { median, Recorder, table } from './recorder.ts';

test('medians, ratios to the peer in the direction that is better, warm-ups left out', () => {
  const recorder = new Recorder();
  recorder.recording = false;
  recorder.add('run', 'ours', 9999, 'ms');
  recorder.recording = true;
  for (const ms of [30, 10, 20]) recorder.add('run', 'ours', ms, 'ms');
  for (const ms of [200, 100]) recorder.add('run', 'dockerd', ms, 'ms');
  recorder.add('logs', 'ours', 600, 'MB/s');
  recorder.add('logs', 'dockerd', 100, 'MB/s');
  recorder.fail('ours', 'x');
  recorder.fail('ours', 'x');
  const rows = recorder.rows('dockerd');
  expect(rows.map((row) => row.engines['ours']?.timesBetter)).toEqual([7.5, 6]);
  expect(table(rows, ['ours', 'dockerd'])).toBe(
    [
      '| work | unit | ours | dockerd |',
      '|---|---|---|---|',
      '| run | ms | 20.0 (10.0–30.0) **×7.50** | 150 (100–200) |',
      '| logs | MB/s | 600 (600–600) **×6.00** | 100 (100–100) |',
    ].join('\n'),
  );
  expect(recorder.failures).toEqual(['ours: x (2 times)']);
  expect(median([])).toBe(0);
});
