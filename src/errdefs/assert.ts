/**
 * `ok` of node:assert for code that a cold process runs: that module is loaded only when an assertion fails (0.6 ms of
 * the start of `berth oci`).
 */
export function ok(value: unknown, message = 'an assertion failed'): asserts value {
  if (value) return;
  const { AssertionError } = process.getBuiltinModule('node:assert');
  throw new AssertionError({ message, actual: value, expected: true, operator: '==', stackStartFn: ok });
}
