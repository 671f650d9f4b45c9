/** JSON of values that hold counts of 64 bits (bigint): written with all their digits. */

// as: ES2026's JSON.rawJSON, which Bun has and the compiler's library does not know yet.
const rawJson = Reflect.get(JSON, 'rawJSON') as (text: string) => unknown;

export function wideJson(value: unknown): string {
  return JSON.stringify(value, (_key, held: unknown) => (typeof held === 'bigint' ? rawJson(String(held)) : held));
}
