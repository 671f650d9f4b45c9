import { expect, test } from 'bun:test';
import { kindOf } from '#errdefs/errors.ts';
import { csvFields, csvOf } from '#pkg/csv/csv.ts';
import { checkSourceSpec, checkTargetSpec, compressionOf, modeOf, parseCacheSpec } from './cache-spec.ts';

const kindThrown = (work: () => unknown): string | undefined => {
  try {
    work();
  } catch (error) {
    return kindOf(error);
  }
  return undefined;
};

test('options are fields, a name alone is a registry', () => {
  const check = (text: string, type: string, attributes: Record<string, string>): void => {
    const spec = parseCacheSpec(text);
    expect([spec.type, Object.fromEntries(spec.attributes)]).toEqual([type, attributes]);
  };
  check('app:cache', 'registry', { ref: 'app:cache' });
  check('type=local,"dest=a,b",mode=max', 'local', { dest: 'a,b', mode: 'max' });
  check('type=inline', 'inline', {});
  expect(csvFields('a,"b""c",,d')).toEqual(['a', 'b"c', 'd']);
  expect(csvFields(csvOf(['a,b', 'c"d', 'e']))).toEqual(['a,b', 'c"d', 'e']);
  for (const text of ['ref=x', 'type=', 'type=local,=x'])
    expect(kindThrown(() => parseCacheSpec(text))).toBe('invalid-parameter');
});

test('what is not there is refused by name', () => {
  const source = (text: string) => kindThrown(() => checkSourceSpec(parseCacheSpec(text)));
  const target = (text: string) => kindThrown(() => checkTargetSpec(parseCacheSpec(text)));
  for (const type of ['gha', 's3', 'azblob']) {
    expect([source(`type=${type}`), target(`type=${type}`)]).toEqual(['not-implemented', 'not-implemented']);
  }
  expect([source('type=inline'), target('type=inline')]).toEqual(['invalid-parameter', undefined]);
  expect([source('type=local,src=/a'), target('type=local,src=/a')]).toEqual([undefined, 'invalid-parameter']);
  expect([source('type=new,ref=a'), target('type=new,ref=a')]).toEqual(['invalid-parameter', 'invalid-parameter']);
  expect(kindThrown(() => modeOf(new Map([['mode', 'all']])))).toBe('invalid-parameter');
});

test('compression', () => {
  const of = (entries: Record<string, string>) => compressionOf(new Map(Object.entries(entries)));
  expect(of({})).toBeUndefined();
  expect(of({ compression: 'zstd', 'compression-level': '9' })).toEqual({ type: 'zstd', level: 9, force: false });
  expect(of({ 'force-compression': 'true' })).toEqual({ type: 'gzip', level: undefined, force: true });
  expect(kindThrown(() => of({ compression: 'estargz' }))).toBe('not-implemented');
  expect(kindThrown(() => of({ compression: 'lz4' }))).toBe('invalid-parameter');
  expect(kindThrown(() => of({ 'compression-level': 'x' }))).toBe('invalid-parameter');
});
