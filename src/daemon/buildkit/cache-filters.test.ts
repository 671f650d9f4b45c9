import { expect, test } from 'bun:test';
import type { BuildCache } from '../../api/types/build.ts';
import { cacheMatcher } from './cache-filters.ts';

const entry: BuildCache = {
  ID: 'abcdef',
  Parents: ['p1'],
  Type: 'regular',
  Description: 'RUN make',
  InUse: false,
  Shared: true,
  Size: 1,
  CreatedAt: '',
  LastUsedAt: null,
  UsageCount: 1,
};

test('conditions hold together, filters one for another', () => {
  const cases: readonly (readonly [readonly string[], boolean])[] = [
    [[], true],
    [[''], true],
    [['id==abcdef'], true],
    [['id==abc'], false],
    [['id~=^abc'], true],
    [['id!=abcdef'], false],
    [['type==regular,shared'], true],
    [['type==regular,private'], false],
    [['type==exec.cachemount', 'parents==p1'], true],
    [['description~="make$"'], true],
    [['inuse'], false],
    [['inuse==false,immutable'], true],
    [['mutable'], false],
  ];
  for (const [filters, holds] of cases) expect([filters, cacheMatcher(filters)(entry)]).toEqual([filters, holds]);
  expect(() => cacheMatcher(['nonsense==1'])).toThrow('the cache filter "nonsense==1" is not there');
  expect(() => cacheMatcher(['id~=('])).toThrow('invalid pattern');
});
