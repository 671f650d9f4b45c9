/**
 * Modules of Node, loaded when something of them is first used: each costs a cold process 0.6 to 4 ms, and most commands
 * that are run in loops need none (node-modules.test.ts keeps them out).
 */
import type * as fs from 'node:fs';
import type * as path from 'node:path';

export function nodeFs(): typeof fs {
  return process.getBuiltinModule('node:fs');
}

export function nodePath(): typeof path {
  return process.getBuiltinModule('node:path');
}
