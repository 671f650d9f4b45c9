/**
 * Names that a busybox binary answers to, from the table in its own bytes: sorted, NUL-terminated, `[` and `[[` first.
 * Asking it would mean running it.
 */

const TABLE_START = '\0[\0[[\0';
const NAME = /^[a-z0-9_.+[-]+$/i;
const NAMES_MAX = 1000;
/** Fewer than this is some other table. */
const NAMES_MIN = 10;

export function busyboxApplets(bytes: Uint8Array): readonly string[] {
  const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = content.indexOf(TABLE_START, 0, 'latin1');
  if (start < 0) return [];
  const names: string[] = [];
  for (let at = start + 1; names.length < NAMES_MAX; ) {
    const end = content.indexOf(0, at);
    const name = end < 0 ? '' : content.toString('latin1', at, end);
    if (!NAME.test(name) || name <= (names.at(-1) ?? '')) break;
    names.push(name);
    at = end + 1;
  }
  return names.length < NAMES_MIN ? [] : names;
}
