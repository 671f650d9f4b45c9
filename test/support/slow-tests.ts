/**
 * `bun test --preload`: the limits that tests name themselves grow by BERTH_TEST_SLOW as well (`--timeout` only reaches
 * the others). Test files import their functions from here instead of bun:test, by a rewrite of that one import.
 */
import * as real from 'bun:test';
import { SLOW } from './command.ts';

const FROM = /from 'bun:test'/;

type Callable = (...args: never[]) => unknown;
const isCallable = (value: unknown): value is Callable => typeof value === 'function';

/** With every number after the function (a limit) and every `timeout` of options longer. */
function longer(args: readonly unknown[]): unknown[] {
  const at = args.findIndex((a) => typeof a === 'function');
  return args.map((a, i) => {
    if (typeof a === 'number' && at >= 0 && i > at) return a * SLOW;
    if (typeof a === 'object' && a !== null && 'timeout' in a && typeof a.timeout === 'number')
      return { ...a, timeout: a.timeout * SLOW };
    return a;
  });
}

/** A function of bun:test, and what hangs on it (`each`, `if`, `skipIf`), all with longer limits. */
function slowed<T extends Callable>(original: T, limited: boolean, owner?: unknown): T {
  return new Proxy(original, {
    apply: (target, self, args: unknown[]) => {
      const made: unknown = Reflect.apply(target, owner ?? self, limited ? longer(args) : args);
      return isCallable(made) ? slowed(made, true) : made;
    },
    get: (target, name) => {
      const found: unknown = Reflect.get(target, name, target);
      if (!isCallable(found)) return found;
      // `test.each(rows)` and `test.if(true)` make the function that takes the limit; `test.only` is one.
      return slowed(found, name === 'only' || name === 'skip' || name === 'failing' || name === 'serial', target);
    },
  });
}

export const test = slowed(real.test, true);
export const beforeAll = slowed(real.beforeAll, true);
export const beforeEach = slowed(real.beforeEach, true);
export const afterAll = slowed(real.afterAll, true);
export const afterEach = slowed(real.afterEach, true);
export const setDefaultTimeout = (ms: number): void => real.setDefaultTimeout(ms * SLOW);
export { describe, expect, mock, spyOn } from 'bun:test';

/** For a run of tests that a test starts. */
export const SLOW_OPTIONS: readonly string[] =
  SLOW === 1 ? [] : ['--preload', import.meta.path, '--timeout', String(SLOW * 60_000)];

if (SLOW !== 1) {
  Bun.plugin({
    name: 'slow tests',
    setup(build) {
      build.onLoad({ filter: /\/test\/.*\.ts$/ }, async ({ path }) => {
        const text = await Bun.file(path).text();
        return {
          loader: 'ts',
          contents: path === import.meta.path ? text : text.replace(FROM, `from '${import.meta.path}'`),
        };
      });
    },
  });
}
