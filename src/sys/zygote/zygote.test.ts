import { expect, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { Zygote } from './zygote.ts';

test('our memory is kept from copies: other zygotes are made and programs spawned all the same', () => {
  using first = new Zygote();
  using second = new Zygote();
  expect(first.pid).not.toBe(second.pid);
  const { status, stdout } = spawnSync('echo', ['up'], { encoding: 'utf8' });
  expect([status, stdout]).toEqual([0, 'up\n']);
  expect(Bun.spawnSync(['echo', 'too']).stdout.toString()).toBe('too\n');
});
