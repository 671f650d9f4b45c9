/**
 * Modules of Node, loaded when something of them is first used: each costs a cold process 0.6 to 4 ms, and most commands
 * that are run in loops need none (node-modules.test.ts keeps them out).
 */
type NodeFs = typeof import('node:fs');
type NodePath = typeof import('node:path');

export function nodeFs(): NodeFs {
  return process.getBuiltinModule('node:fs');
}

export function nodePath(): NodePath {
  return process.getBuiltinModule('node:path');
}
