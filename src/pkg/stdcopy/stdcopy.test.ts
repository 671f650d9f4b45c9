import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { Demultiplexer, frame, type StreamNumber } from './stdcopy.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

describe('stdcopy', () => {
  test('a frame has stream number, three zeros and a big-endian length', () => {
    expect([...frame(2, bytes('ab'))]).toEqual([2, 0, 0, 0, 0, 0, 0, 2, 97, 98]);
    expect([...frame(1, new Uint8Array(0x01020304)).subarray(0, 8)]).toEqual([1, 0, 0, 0, 1, 2, 3, 4]);
  });

  test('frames survive any cutting', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom<StreamNumber>(1, 2), fc.uint8Array({ maxLength: 40 })), { maxLength: 12 }),
        fc.array(fc.nat({ max: 30 }), { minLength: 1, maxLength: 20 }),
        (frames, cuts) => {
          const wire = Buffer.concat(frames.map(([stream, payload]) => frame(stream, payload)));
          const got: Record<number, number[]> = { 1: [], 2: [] };
          const demultiplexer = new Demultiplexer((stream, payload) => got[stream]?.push(...payload));
          let at = 0;
          for (let i = 0; at < wire.length; i++) {
            const end = at + (cuts[i % cuts.length] ?? 0) + 1;
            demultiplexer.push(wire.subarray(at, end));
            at = end;
          }
          expect(demultiplexer.complete).toBe(true);
          for (const stream of [1, 2] as const) {
            expect(got[stream]).toEqual(frames.filter(([s]) => s === stream).flatMap(([, payload]) => [...payload]));
          }
        },
      ),
    );
  });

  test('an unknown stream number is refused, a half header is not complete', () => {
    const demultiplexer = new Demultiplexer(() => {});
    demultiplexer.push(Uint8Array.of(1, 0, 0));
    expect(demultiplexer.complete).toBe(false);
    expect(() => new Demultiplexer(() => {}).push(Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 1))).toThrow(
      'Unrecognized input header: 9',
    );
  });
});
