import { describe, expect, test } from 'bun:test';
import { parseOptions } from './options.ts';

const table = { bundle: 'value', detach: 'flag', env: 'list' } as const;
const parse = (...argv: string[]) => parseOptions(argv, table, { b: 'bundle', d: 'detach', e: 'env' });

describe("the runtimes' command line", () => {
  test('all spellings of an option', () => {
    for (const argv of [['--bundle', '/x'], ['--bundle=/x'], ['-b', '/x'], ['-b=/x'], ['-bundle', '/x']])
      expect(parse(...argv, 'id').value('bundle')).toBe('/x');
  });

  test('options end at the first argument', () => {
    const options = parse('-d', '-e', 'A=1', '-e', 'B=2', 'id', 'ls', '-d');
    expect(options.flag('detach')).toBe(true);
    expect(options.list('env')).toEqual(['A=1', 'B=2']);
    expect(options.rest).toEqual(['id', 'ls', '-d']);
    expect(parse('--', '-d').rest).toEqual(['-d']);
  });

  test('refused by name', () => {
    expect(() => parse('--nope')).toThrow('flag provided but not supported: --nope');
    expect(() => parse('--bundle')).toThrow('flag needs an argument: --bundle');
    expect(() => parse('a', 'b').arguments('create', 'container-id')).toThrow('requires exactly 1 argument');
  });
});
