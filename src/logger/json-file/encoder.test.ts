import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import init from 'wabt';
import { LogEncoder, INPUT } from './encoder.ts';
import { encoderBytes } from './encoder-bytes.ts';
import { encodeReference, formatTime, type LogStream, readyBytes } from './format.ts';

const noon = 1_795_000_000_000_000_000n;

/** Everything the accelerator makes of `input` when output is limited to `outputBytesMax` a call. */
function accelerate(input: Uint8Array, stream: LogStream, attrs: string, final: boolean, outputBytesMax: number) {
  let now = noon;
  const encoder = new LogEncoder(() => now);
  encoder.u8.set(input, INPUT);
  // Stale bytes of an earlier read lie behind the input.
  encoder.u8.fill(0x80, INPUT + input.length, INPUT + input.length + 8);
  const end = INPUT + input.length;
  const texts: string[] = [];
  let at = INPUT;
  for (;;) {
    const { consumed, output } = encoder.encode({ stream, attrs, start: at, end, outputBytesMax, final, sequence: 0 });
    if (consumed === at) break;
    texts.push(new TextDecoder('utf-8', { fatal: true }).decode(output));
    at = consumed;
    now = noon;
  }
  return { text: texts.join(''), consumed: at - INPUT };
}

const piece = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }).map((s) => new TextEncoder().encode(s)),
  fc.uint8Array({ maxLength: 60 }),
  fc.constantFrom('\n', '\r\n', '"\\', '<>&', '\u2028\u2029', 'é', '€', '😀', '\t\0\x7f').map((s) => Buffer.from(s)),
  fc.constantFrom(0xe2, 0xf0, 0xed, 0xc3, 0x80).map((b) => Uint8Array.of(b)),
  fc.constantFrom(16_380, 16_383, 16_384, 16_387, 33_000).map((n) => Buffer.alloc(n, 'x')),
  fc.constantFrom(5461, 5462, 11_000).map((n) => Buffer.from('€'.repeat(n))),
);

describe('the accelerator', () => {
  test('is what encoder.wat assembles to', async () => {
    const wabt = await init();
    const text = readFileSync(new URL('./encoder.wat', import.meta.url), 'utf8');
    const assembled = wabt.parseWat('encoder.wat', text, { simd: true, bulk_memory: true }).toBinary({}).buffer;
    expect(Buffer.from(encoderBytes).toString('base64')).toBe(Buffer.from(assembled).toString('base64'));
  });

  test('agrees with the reference on random input', () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 14 }),
        fc.constantFrom<LogStream>('stdout', 'stderr'),
        fc.constantFrom('', '{"tag":"x"}', `{"label":"${'v'.repeat(300)}"}`),
        fc.boolean(),
        fc.constantFrom(1, 100, 20_000, 1 << 20),
        (pieces, stream, attrs, final, limit) => {
          const input = Buffer.concat(pieces).subarray(0, 262_144);
          const reference = encodeReference(input, {
            stream,
            attrs,
            final,
            time: (line) => formatTime(noon + BigInt(line)),
          });
          const strictly = accelerate(input, stream, attrs, final, limit);
          expect(strictly.consumed).toBe(reference.consumed);
          // A new call may skip ticks, never repeat one: compare times for order, the rest for equality.
          const times = (text: string) => [...text.matchAll(/"time":"([^"]*)"/g)].map((m) => m[1] ?? '');
          const untimed = (text: string) => text.replaceAll(/"time":"[^"]*"/g, '');
          expect(untimed(strictly.text)).toBe(untimed(reference.text));
          const seen = times(strictly.text);
          expect(seen).toEqual([...new Set(seen)].sort());
          if (limit === 1 << 20) expect(strictly.text).toBe(reference.text);
        },
      ),
      { numRuns: 100 },
    );
  }, 60_000);

  test('what is logged is what was written, as JSON reads it', () => {
    const input = Buffer.from('tab\t "quoted" \\ <b>&\u2028 naïve 😀\r\nsecond\n');
    const { text } = accelerate(input, 'stdout', '', true, 1 << 20);
    const logs = text
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(logs).toEqual([
      { log: 'tab\t "quoted" \\ <b>&\u2028 naïve 😀\r\n', stream: 'stdout', time: '2026-11-18T11:06:40.000000000Z' },
      { log: 'second\n', stream: 'stdout', time: '2026-11-18T11:06:40.000000001Z' },
    ]);
  });

  test('times do not repeat across calls, nor run over the end of a second', () => {
    const encoder = new LogEncoder(() => 1_795_000_000_999_999_990n);
    const times: string[] = [];
    for (let i = 0; i < 3; i++) {
      encoder.u8.set(Buffer.from('a\nb\n'), INPUT);
      const { output } = encoder.encode({
        stream: 'stdout',
        attrs: '',
        sequence: 0,
        start: INPUT,
        end: INPUT + 4,
        outputBytesMax: 1000,
        final: false,
      });
      times.push(
        ...[
          ...Buffer.from(output)
            .toString()
            .matchAll(/"time":"([^"]*)"/g),
        ].map((m) => m[1] ?? ''),
      );
    }
    expect(times.length).toBe(6);
    expect(times).toEqual([...new Set(times)].sort());
  });

  test('an unfinished line waits until a piece and its overhang are there', () => {
    expect(readyBytes(Buffer.alloc(16_386, 'x'))).toBe(0);
    expect(readyBytes(Buffer.alloc(16_387, 'x'))).toBe(1);
    expect(readyBytes(Buffer.from('ab\ncd'))).toBe(3);
  });
});
