/** `64m`, `1.5g`, `512` → bytes by powers of 1024, as go-units' RAMInBytes reads them. */

const POWERS = 'bkmgtp';

export function parseRamBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)*) ?([kKmMgGtTpPbB])?([iI]?[bB])?$/.exec(text);
  const number = Number(match?.[1]);
  if (match === null || !Number.isFinite(number)) throw new Error(`invalid size: '${text}'`);
  const unit = (match[2] ?? 'b').toLowerCase();
  // "bb" and "bib" are no units.
  if (unit === 'b' && match[3] !== undefined) throw new Error(`invalid size: '${text}'`);
  return Math.trunc(number * 1024 ** POWERS.indexOf(unit));
}
