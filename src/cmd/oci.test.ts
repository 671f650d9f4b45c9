import { expect, test } from 'bun:test';
import { join } from 'node:path';

test('no command of `berth oci` loads modules of Node: each costs a cold process up to a millisecond', async () => {
  const { outputs } = await Bun.build({ entrypoints: [join(import.meta.dir, 'oci.ts')], target: 'bun', format: 'esm' });
  const text = (await outputs[0]?.text()) ?? '';
  const imported = [...text.matchAll(/^import .* from "([^"]+)";$/gm)].map(([, name]) => name);
  expect([...new Set(imported)]).toEqual(['bun:ffi']);
});
