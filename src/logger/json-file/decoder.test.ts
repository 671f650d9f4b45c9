import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import init from 'wabt';
import { Demultiplexer, frame } from '#pkg/stdcopy/stdcopy.ts';
import type { Rendering } from '../rendering.ts';
import { LogDecoder } from './decoder.ts';
import { decoderBytes } from './decoder-bytes.ts';
import { encodeReference, formatTime } from './format.ts';

const decoder = new LogDecoder();
const noon = 1_795_000_000_000_000_000n;
const plain: Rendering = { stdout: true, stderr: true, timestamps: false, details: false, frames: 'none' };

/** All output of a log text that is fed block by block, as a reader does. */
function decode(text: string | Uint8Array, how: Rendering): { output: Buffer; damaged: number } {
  const bytes = Buffer.from(text);
  decoder.block.set(bytes);
  // Stale bytes of an earlier block, which look like lines.
  decoder.block.set(Buffer.from('"}\n{"log":"stale\n'), bytes.length);
  const parts: Uint8Array[] = [];
  let at = 0;
  let damaged = 0;
  for (;;) {
    const step = decoder.decode(at, bytes.length, how);
    if (step.consumed === 0) break;
    parts.push(step.output.slice());
    at += step.consumed;
    damaged += step.damaged;
  }
  return { output: Buffer.concat(parts), damaged };
}

const lineOf = (log: string, stream = 'stdout', attrs = '') =>
  `{"log":${JSON.stringify(log)},"stream":"${stream}",${attrs}"time":"2026-11-22T17:00:00.5Z"}\n`;

describe('the decoder', () => {
  test('is what decoder.wat assembles to', async () => {
    const wabt = await init();
    const text = readFileSync(new URL('./decoder.wat', import.meta.url), 'utf8');
    const assembled = wabt.parseWat('decoder.wat', text, { simd: true, bulk_memory: true }).toBinary({}).buffer;
    expect(Buffer.from(decoderBytes).toString('base64')).toBe(Buffer.from(assembled).toString('base64'));
  });

  test('gives back what was logged, in every rendering', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 50 }),
      fc.constantFrom('', 'a"b\\c\td\re<>&\u2028é€😀', 'x'.repeat(16_000), '\0'.repeat(3000)),
    );
    const streams = fc.constantFrom('stdout', 'stderr');
    fc.assert(
      fc.property(
        fc.array(fc.tuple(text, streams), { maxLength: 12 }),
        fc.boolean(),
        fc.constantFrom<Rendering['frames']>('none', 'merged', 'line'),
        fc.constantFrom([true, true], [true, false], [false, true]),
        (written, timestamps, frames, [stdout = true, stderr = true]) => {
          const file: string[] = [];
          const expected = { stdout: '', stderr: '', all: '' };
          for (const [content, stream] of written) {
            const bytes = Buffer.from(`${content.replaceAll('\n', '')}\n`);
            const time = formatTime(noon);
            const name = stream === 'stderr' ? 'stderr' : 'stdout';
            file.push(encodeReference(bytes, { stream: name, attrs: '', time: () => time, final: true }).text);
            if (name === 'stderr' ? !stderr : !stdout) continue;
            const shown = `${timestamps ? `${time} ` : ''}${bytes.toString()}`;
            expected[name] += shown;
            expected.all += shown;
          }
          const { output, damaged } = decode(file.join(''), { ...plain, stdout, stderr, timestamps, frames });
          expect(damaged).toBe(0);
          if (frames === 'none') return expect(output.toString()).toBe(expected.all);
          const got = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
          const demultiplexer = new Demultiplexer((stream, payload) => {
            got[stream === 2 ? 'stderr' : 'stdout'].push(payload.slice());
          });
          demultiplexer.push(output);
          expect(demultiplexer.complete).toBe(true);
          expect(Buffer.concat(got.stdout).toString()).toBe(expected.stdout);
          expect(Buffer.concat(got.stderr).toString()).toBe(expected.stderr);
          return undefined;
        },
      ),
    );
  }, 60_000);

  test('reads lines of another shape as JSON does, skips damage, waits for the end of a line', () => {
    const odd = [
      lineOf('pair \ud83d\ude00 \u0001\n'),
      '{"stream":"stdout","log":"turned\\n","time":"2026-11-22T17:00:00Z"}\n',
      lineOf('attrs\n', 'stderr', '"attrs":{"b":"1 2","a":"x"},'),
      '{"log":"\\ud83d\\ude00\\n","stream":"stdout","time":"2026-11-22T17:00:00.000000001Z"}\n',
      '{"log":"a","x":"b","stream":"stdout","time":"2026-11-22T17:00:00.000000001Z"}\n',
    ];
    const whole = decode(`${odd[0]}garbage\n\0\0\0\n${odd.slice(1).join('')}{"log":"half`, plain);
    expect(whole.output.toString()).toBe('pair 😀 \u0001\nturned\nattrs\n😀\na');
    expect(whole.damaged).toBe(2);
    expect(decode(odd[2] ?? '', { ...plain, details: true, timestamps: true }).output.toString()).toBe(
      '2026-11-22T17:00:00.500000000Z a=x,b=1+2 attrs\n',
    );
  });

  test('merges lines of a stream into frames of at most 256 KiB', () => {
    const { output } = decode(lineOf('a\n') + lineOf('b\n') + lineOf('c\n', 'stderr') + lineOf('d\n'), {
      ...plain,
      frames: 'merged',
    });
    expect(output).toEqual(
      Buffer.concat([frame(1, Buffer.from('a\nb\n')), frame(2, Buffer.from('c\n')), frame(1, Buffer.from('d\n'))]),
    );
    const large = decode(lineOf(`${'y'.repeat(1000)}\n`).repeat(450), { ...plain, frames: 'merged' }).output;
    const sizes: number[] = [];
    for (let at = 0; at < large.length; at += 8 + large.readUInt32BE(at + 4)) sizes.push(large.readUInt32BE(at + 4));
    expect(sizes.length).toBe(2);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(262_144);
    expect(sizes[0]).toBeGreaterThan(200_000);
  });
});
