import { expect, test } from 'bun:test';
import { scopeOfGroup, sliceParent, slicePath } from './slices.ts';

test('a dash in the name of a slice means below', () => {
  expect(slicePath('web.slice')).toBe('/web.slice');
  expect(slicePath('a-b-c.slice')).toBe('/a.slice/a-b.slice/a-b-c.slice');
  expect(slicePath('-.slice')).toBe('/');
});

test.each([
  '.slice',
  '-a.slice',
  'a-.slice',
  'a--b.slice',
  'a/b.slice',
  'a b.slice',
  'plain',
  `${'x'.repeat(250)}.slice`,
])('no slice: %s', (name) => {
  expect(() => slicePath(name)).toThrow('not the name of a slice');
});

test('containers of a slice and runtime share one scope, which names its daemon', () => {
  expect(sliceParent('/berth.slice/berth.scope', 'web.slice')).toBe('/web.slice/berth.web.scope');
  expect(sliceParent('/berth.slice/berth-00ff00.scope', 'a-b.slice')).toBe('/a.slice/a-b.slice/berth-00ff00.a-b.scope');
  expect(sliceParent('/berth.slice/berth.scope', 'web.slice', 'runc')).toBe('/web.slice/berth:runc.web.scope');
  expect(sliceParent('/berth.slice/berth.scope', '-.slice', 'a/b')).toBe('/berth:a:47b.-.scope');
});

test('a group tells its scope', () => {
  const own = '/berth.slice/berth.scope';
  expect(scopeOfGroup(own, `${own}/ID`)).toBeUndefined();
  expect(scopeOfGroup(own, '/somewhere/ID')).toBeUndefined();
  expect(scopeOfGroup(own, '/web.slice/berth.web.scope/ID')).toEqual({
    slice: 'web.slice',
    scope: 'berth.web.scope',
    path: '/web.slice/berth.web.scope',
  });
  expect(scopeOfGroup(own, '/berth.-.scope/ID')).toMatchObject({ slice: '-.slice', path: '/berth.-.scope' });
});
