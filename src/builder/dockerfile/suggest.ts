/** What was probably meant: the nearest of some words, by edit distance, near enough to be worth saying. */

/** At most two edits, and less than half of the word. */
const EDITS_MAX = 2;

/** The nearest option, or undefined when none is near or one is exactly the word. */
export function suggest(word: string, options: Iterable<string>, ignoreCase = false): string | undefined {
  const wanted = ignoreCase ? word.toLowerCase() : word;
  let best: string | undefined;
  let bestEdits = EDITS_MAX + 1;
  for (const option of options) {
    const candidate = ignoreCase ? option.toLowerCase() : option;
    if (candidate === wanted) return undefined;
    if (Math.abs(candidate.length - wanted.length) >= bestEdits) continue;
    const edits = editDistance(wanted, candidate);
    if (edits < bestEdits && edits * 2 < Math.max(candidate.length, 3)) {
      best = option;
      bestEdits = edits;
    }
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours. */
function editDistance(a: string, b: string): number {
  let older: readonly number[] = [];
  let previous: readonly number[] = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? (older[j - 2] ?? 0) + 1 : replace;
      row.push(Math.min(replace, swap, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    older = previous;
    previous = row;
  }
  return previous[b.length] ?? 0;
}
