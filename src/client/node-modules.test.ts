import { expect, test } from 'bun:test';
import { basename, join } from 'node:path';

const HOT = ['run', 'create', 'start', 'stop', 'rm', 'exec', 'logs', 'ls', 'wait', 'attach'];

test('a command that is run in loops loads no module of Node: each costs a cold process up to 4 ms', async () => {
  const entrypoints = [
    ...HOT.map((name) => join(import.meta.dir, 'container', `${name}.ts`)),
    ...['main.ts', 'connect.ts', 'terminal/io.ts', 'config-file/config-file.ts'].map((f) => join(import.meta.dir, f)),
  ];
  const { outputs } = await Bun.build({ entrypoints, target: 'bun', format: 'esm', splitting: true });
  const texts = new Map(await Promise.all(outputs.map(async (o) => [basename(o.path), await o.text()] as const)));
  const outside = new Set<string>();
  const reached = new Set<string>();
  // What is imported when it is needed comes as import(…) and is not followed.
  const follow = (name: string) => {
    const text = texts.get(name);
    if (text === undefined || reached.has(name)) return;
    reached.add(name);
    for (const [, from = ''] of text.matchAll(/^(?:import|export)\b[^;"]*?(?:from )?"([^"]+)";$/gm)) {
      if (from.startsWith('.')) follow(basename(from));
      else outside.add(from);
    }
  };
  for (const output of outputs) if (output.kind === 'entry-point') follow(basename(output.path));
  expect(reached.size).toBeGreaterThan(HOT.length);
  expect([...outside]).toEqual([]);
});
