/**
 * The keys that detach a terminal from its container: parsing of `ctrl-p,ctrl-q` and a matcher over the byte stream
 * that comes from the client. Bytes that may be the beginning of the sequence are held back until it is decided.
 */
import { invalidParameter } from '#errdefs/errors.ts';

export const DEFAULT_DETACH_KEYS = Uint8Array.of(16, 17);

const controlNames = '@abcdefghijklmnopqrstuvwxyz[\\]^_';

function byteOf(key: string): number | undefined {
  if (key.startsWith('ctrl-') && key.length === 6) {
    const code = controlNames.indexOf(key.charAt(5));
    return code < 0 ? undefined : code;
  }
  return key.length === 1 && key.charCodeAt(0) < 0x80 ? key.charCodeAt(0) : undefined;
}

/**
 * The bytes of a comma-separated list of keys; an empty text is the default, ctrl-p,ctrl-q. Errors: invalid-parameter
 * in the words of dockerd, which calls them detach keys in attach and escape keys in exec.
 */
export function parseDetachKeys(text: string, what: 'detach' | 'escape' = 'detach'): Uint8Array {
  if (text === '') return DEFAULT_DETACH_KEYS;
  const codes = text.split(',').map(byteOf);
  if (codes.includes(undefined)) throw invalidParameter(`Invalid ${what} keys (${text}) provided`);
  return Uint8Array.from(codes, (code) => code ?? 0);
}

/** Finds the sequence in a stream, however it is cut. After a match nothing more may be pushed. */
export class DetachMatcher {
  readonly #keys: Uint8Array;
  /** For each length of a partial match the length of the longest shorter one that is its suffix (Knuth-Morris-Pratt). */
  readonly #fallback: readonly number[];
  #held = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
    this.#fallback = fallbackOf(keys);
  }

  /** Bytes that go on to the process, and whether the sequence is complete; what follows it in `chunk` is dropped. */
  push(chunk: Uint8Array): { readonly forward: Uint8Array; readonly detached: boolean } {
    const heldBefore = this.#held;
    for (let i = 0; i < chunk.length; i++) {
      while (this.#held > 0 && chunk[i] !== this.#keys[this.#held]) this.#held = this.#fallback[this.#held] ?? 0;
      if (chunk[i] === this.#keys[this.#held]) this.#held++;
      if (this.#held === this.#keys.length && this.#held > 0) {
        return { forward: this.#join(heldBefore, chunk, i + 1), detached: true };
      }
    }
    return { forward: this.#join(heldBefore, chunk, chunk.length), detached: false };
  }

  /** What was held before and `chunk` up to `end`, less what is held now. */
  #join(heldBefore: number, chunk: Uint8Array, end: number): Uint8Array {
    const total = heldBefore + end - this.#held;
    if (heldBefore === 0) return chunk.subarray(0, total);
    const joined = new Uint8Array(heldBefore + end);
    joined.set(this.#keys.subarray(0, heldBefore));
    joined.set(chunk.subarray(0, end), heldBefore);
    return joined.subarray(0, total);
  }

  /** At the end of input: bytes that were the beginning of nothing. */
  flush(): Uint8Array {
    const rest = this.#keys.subarray(0, this.#held);
    this.#held = 0;
    return rest;
  }
}

function fallbackOf(keys: Uint8Array): number[] {
  const fallback = [0, 0];
  let k = 0;
  for (let i = 1; i < keys.length; i++) {
    while (k > 0 && keys[i] !== keys[k]) k = fallback[k] ?? 0;
    if (keys[i] === keys[k]) k++;
    fallback.push(k);
  }
  return fallback;
}
