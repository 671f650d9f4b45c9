import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import { decodeImageConfig } from './config.ts';

const diffId = `sha256:${'a'.repeat(64)}`;
const bytes = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

test('what Docker and buildah write is read; what is missing is empty', () => {
  const config = decodeImageConfig(
    bytes({
      architecture: 'amd64',
      os: 'linux',
      config: { Env: ['A=1'], Cmd: null, Volumes: { '/x': { junk: 1 } }, Labels: {}, Healthcheck: { Interval: 5 } },
      rootfs: { type: 'layers', diff_ids: [diffId] },
      history: [{ created: '2026-01-01T00:00:00Z', empty_layer: true }],
      unknown: { anything: [1] },
    }),
  );
  expect(config.config?.Env).toEqual(['A=1']);
  expect(config.config?.Cmd).toBeUndefined();
  expect(config.config?.Volumes).toEqual({ '/x': {} });
  expect(config.rootfs.diff_ids.map(String)).toEqual([diffId]);
  expect(decodeImageConfig(bytes({})).rootfs.diff_ids).toEqual([]);
});

describe('a malformed configuration is refused by the field', () => {
  for (const [value, field] of [
    [{ config: [] }, 'config'],
    [{ config: { Env: 'x' } }, 'Env'],
    [{ config: { Cmd: [1] } }, 'Cmd'],
    [{ config: { Labels: { a: 1 } } }, 'Labels'],
    [{ config: { User: 0 } }, 'User'],
    [{ rootfs: { diff_ids: ['sha256:x'] } }, 'rootfs.diff_ids'],
    [{ created: 'yesterday' }, 'created'],
    [{ history: [null] }, 'history'],
  ] as const) {
    test(JSON.stringify(value), () => {
      let caught: unknown;
      try {
        decodeImageConfig(bytes(value));
      } catch (error) {
        caught = error;
      }
      expect(messageOf(caught)).toBe(`invalid image configuration: "${field}" is malformed`);
      expect(kindOf(caught)).toBe('data-loss');
    });
  }
});

const seed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
test(`fuzz: any JSON is read or refused cleanly (seed ${seed})`, () => {
  const keys = fc.constantFrom(
    'config',
    'rootfs',
    'diff_ids',
    'history',
    'created',
    'Env',
    'Labels',
    'Healthcheck',
    'os',
  );
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<unknown>(null, '', 'x', 1, true, diffId),
      fc.array(tie('any'), { maxLength: 3 }),
      fc.dictionary(keys, tie('any'), { maxKeys: 4 }),
    ),
  })).any;
  fc.assert(
    fc.property(value, (document) => {
      try {
        decodeImageConfig(bytes(document));
      } catch (error) {
        expect(kindOf(error)).toBe('data-loss');
      }
    }),
    { seed, numRuns: 2000 },
  );
});
