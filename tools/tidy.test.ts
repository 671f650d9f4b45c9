import { expect, test } from 'bun:test';
import { importProblem } from './layers.ts';
import {
  cycleProblems,
  doorProblems,
  layerProblems,
  linkProblems,
  sizeProblems,
  sourceFiles,
  textProblems,
} from './tidy.ts';

const files = sourceFiles();

test('there are files to look at, with their imports', () => {
  expect(files.length).toBeGreaterThan(10);
  expect(files.find((f) => f.path === 'src/engine/engine.ts')?.imports).toContain('#errdefs/errors.ts');
});

test('no folder imports above its layer', () => expect(layerProblems(files)).toEqual([]));
test('no file imports itself by a detour, types included', () => expect(cycleProblems(files)).toEqual([]));
test('FFI, SQLite and processes go through their doors', () => expect(doorProblems(files)).toEqual([]));
test('no file has more than 500 lines', () => expect(sizeProblems(files)).toEqual([]));
test('names, bans and line lengths', () => expect(textProblems(files)).toEqual([]));
test('links in documents lead somewhere', () => expect(linkProblems()).toEqual([]));

test('the layer rules refuse what they are for', () => {
  expect(importProblem('api/server/x.ts', 'daemon/y.ts')).toContain('may not import');
  expect(importProblem('client/x.ts', 'daemon/y.ts')).toContain('may not import');
  expect(importProblem('libcontainer/x.ts', 'image/y.ts')).toContain('may not import');
  expect(importProblem('networkdriver/x.ts', 'libcontainer/start.ts')).toContain('may not import');
  expect(importProblem('networkdriver/x.ts', 'libcontainer/netlink/link.ts')).toBeUndefined();
  expect(importProblem('daemon/x.ts', 'api/server/y.ts')).toContain('may not import');
  expect(importProblem('sys/x.ts', 'errdefs/errors.ts')).toBeUndefined();
});

test('circles are seen', () => {
  const file = (path: string, to: string) => ({ path: `src/${path}`, text: '', imports: [`#${to}`] });
  expect(cycleProblems([file('a.ts', 'b.ts'), file('b.ts', 'c.ts'), file('c.ts', 'a.ts')])).toEqual([
    'a.ts → b.ts → c.ts → a.ts',
  ]);
});

test('the text rules see what they are for', () => {
  const bad = {
    path: 'src/sys/bad.ts',
    text: 'const p = ptr(x);\nenum A { B }\n// TODO later\n',
    imports: ['bun:sqlite'],
  };
  expect(textProblems([bad])).toHaveLength(3);
  expect(doorProblems([bad])).toHaveLength(1);
  expect(sizeProblems([{ ...bad, text: '\n'.repeat(501) }])).toHaveLength(1);
});
