import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { COMMAND_TABLE } from '#client/command-table.ts';
import { commandReference } from '#client/reference/markdown.ts';

test('docs/commands.md is what the command table says (bun tools/commands.ts writes it)', async () => {
  const written = readFileSync(resolve(import.meta.dir, '../docs/commands.md'), 'utf8');
  expect(written === (await commandReference(COMMAND_TABLE))).toBe(true);
});
