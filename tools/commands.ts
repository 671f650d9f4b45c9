/** Writes docs/commands.md from the command table: `bun tools/commands.ts`. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { COMMAND_TABLE } from '#client/command-table.ts';
import { commandReference } from '#client/reference/markdown.ts';

const target = resolve(import.meta.dir, '../docs/commands.md');
writeFileSync(target, await commandReference(COMMAND_TABLE));
console.log(target);
