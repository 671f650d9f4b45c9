/** Cache configs: what BuildKit writes is read, what we write comes back, and what strangers write is bounded. */
import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { kindOf } from '#errdefs/errors.ts';
import { type CacheConfig, decodeCacheConfig, encodeCacheConfig, encodeInlineCache } from './cache-config.ts';

const digest = (n: number): string => `sha256:${n.toString(16).padStart(64, '0')}`;
const read = (document: unknown): CacheConfig => decodeCacheConfig(Buffer.from(JSON.stringify(document)));

function refused(document: unknown): string {
  try {
    read(document);
  } catch (error) {
    expect(kindOf(error)).toBe('data-loss');
    return error instanceof Error ? error.message : '';
  }
  return '';
}

test('a config of BuildKit: zeros are left out, chains are written both ways', () => {
  const { layers, records } = read({
    layers: [
      {
        blob: digest(1),
        parent: -1,
        annotations: { mediaType: 'a', diffID: digest(11), size: 7, createdAt: '2024-01-01T00:00:00Z' },
      },
      { blob: digest(2), annotations: { diffID: digest(12) } },
    ],
    records: [
      { digest: digest(21) },
      {
        layers: [{ layer: 1, createdAt: '2024-01-02T03:04:05Z' }],
        digest: digest(22),
        inputs: [[{ link: 0 }], [{ selector: 's', link: 0 }]],
      },
      { chains: [{ layers: [0, 1], createdAt: '0001-01-01T00:00:00Z' }], digest: digest(23), inputs: [[{}]] },
    ],
  });
  expect(layers.map(({ parent, diffId, size }) => [parent, diffId, size])).toEqual([
    [-1, digest(11), 7],
    [0, digest(12), undefined],
  ]);
  expect(records.map(({ results, inputs }) => [results, inputs])).toEqual([
    [[], []],
    [[{ layers: [0, 1], createdAt: '2024-01-02T03:04:05Z' }], [0, 0]],
    [[{ layers: [0, 1], createdAt: undefined }], [0]],
  ]);
});

test('what is written is read again', () => {
  const config: CacheConfig = {
    layers: [
      { blob: digest(1), parent: -1, mediaType: 'x', diffId: digest(2), size: 3 },
      { blob: digest(4), parent: 0, mediaType: 'x', diffId: digest(5), size: 6 },
    ],
    records: [
      { digest: digest(7), results: [], inputs: [] },
      { digest: digest(8), results: [{ layers: [0, 1], createdAt: '2024-01-01T00:00:00Z' }], inputs: [0] },
    ],
  };
  expect(decodeCacheConfig(encodeCacheConfig(config))).toEqual(config);
  // In an image: records alone, by the number of the layer.
  expect(JSON.parse(encodeInlineCache(config).toString())).toEqual([
    { digest: digest(7) },
    { digest: digest(8), layers: [{ layer: 1, createdAt: '2024-01-01T00:00:00Z' }], inputs: [[{ link: 0 }]] },
  ]);
});

describe('what is wrong is named', () => {
  const cases: readonly [string, unknown, string][] = [
    ['no object', [], 'not a JSON object'],
    ['a layer below that is not there', { layers: [{ blob: digest(1), parent: 5 }] }, 'parent of a layer'],
    ['a digest that is a path', { layers: [{ blob: 'sha256:../../../etc/passwd' }] }, 'a digest is none'],
    ['a diffID that is a path', { layers: [{ blob: digest(1), annotations: { diffID: '..' } }] }, 'a diffID is none'],
    ['a result that is not there', { records: [{ digest: digest(1), layers: [{ layer: 0 }] }] }, 'a layer of a result'],
    [
      'an input that is not there',
      { records: [{ digest: digest(1), inputs: [[{ link: 1 }]] }] },
      'an input of a record',
    ],
    ['layers that are no list', { layers: { length: 1 } }, 'layers are no list'],
    [
      'layers that stand on each other',
      {
        layers: [
          { blob: digest(1), parent: 1 },
          { blob: digest(2), parent: 0 },
        ],
        records: [{ digest: digest(3), layers: [{ layer: 0 }] }],
      },
      'stands on itself',
    ],
  ];
  for (const [name, document, message] of cases) test(name, () => expect(refused(document)).toContain(message));
});

test('a deep chain is bounded and quick', () => {
  const layers = Array.from({ length: 2000 }, (_, i) => ({ blob: digest(i + 1), parent: i - 1 }));
  expect(refused({ layers, records: [{ digest: digest(1), layers: [{ layer: 1999 }] }] })).toContain('too many below');
  expect(read({ layers, records: [{ digest: digest(1), layers: [{ layer: 999 }] }] }).records.length).toBe(1);
});

test('anything else is a config or data-loss', () => {
  const number = fc.oneof(fc.integer({ min: -2, max: 3 }), fc.constant(1e300), fc.double());
  const blob = fc.oneof(fc.constantFrom(digest(1), digest(2)), fc.string());
  const layer = fc.record(
    { blob, parent: number, annotations: fc.oneof(fc.jsonValue(), fc.record({ diffID: blob })) },
    { requiredKeys: [] },
  );
  const result = fc.record(
    { layer: number, layers: fc.array(number, { maxLength: 4 }), createdAt: fc.string() },
    { requiredKeys: [] },
  );
  const record = fc.record(
    {
      digest: blob,
      layers: fc.array(result, { maxLength: 3 }),
      chains: fc.array(result, { maxLength: 3 }),
      inputs: fc.oneof(fc.jsonValue(), fc.array(fc.array(fc.record({ link: number })), { maxLength: 3 })),
    },
    { requiredKeys: [] },
  );
  const document = fc.oneof(
    fc.jsonValue(),
    fc.record(
      { layers: fc.array(layer, { maxLength: 4 }), records: fc.array(record, { maxLength: 4 }) },
      { requiredKeys: [] },
    ),
  );
  fc.assert(
    fc.property(document, (value) => {
      try {
        const { layers, records } = read(value);
        for (const { results } of records) {
          for (const { layers: chain } of results)
            expect(chain.every((index) => layers[index] !== undefined)).toBe(true);
        }
      } catch (error) {
        expect(kindOf(error)).toBe('data-loss');
      }
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      expect(() => decodeCacheConfig(bytes)).toThrow();
    }),
  );
});
