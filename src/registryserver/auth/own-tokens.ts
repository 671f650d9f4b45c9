/** Short-lived tokens that only this process gives and reads: who somebody is, an end, and a keyed digest of both. */
import { createHmac, timingSafeEqual } from 'node:crypto';

export const TOKEN_LIFE_S = 300;

export type Bearer = 'user' | 'anonymous';

export class OwnTokens {
  readonly #key: Uint8Array;
  readonly #now: () => number;

  constructor(key: Uint8Array, now: () => number) {
    this.#key = key;
    this.#now = now;
  }

  make(bearer: Bearer): string {
    const text = `${bearer}.${Math.ceil(this.#now() / 1000) + TOKEN_LIFE_S}`;
    return `${text}.${this.#sign(text).toString('base64url')}`;
  }

  /** Undefined when it is not ours, or over. */
  read(token: string): Bearer | undefined {
    const match = /^(user|anonymous)\.(\d{1,12})\.([A-Za-z0-9_-]{43})$/.exec(token);
    if (match === null) return undefined;
    const [, bearer, end, signature = ''] = match;
    const right = timingSafeEqual(Buffer.from(signature, 'base64url'), this.#sign(`${bearer}.${end}`));
    if (!right || Number(end) * 1000 < this.#now()) return undefined;
    return bearer === 'user' ? 'user' : 'anonymous';
  }

  #sign(text: string): Buffer {
    return createHmac('sha256', this.#key).update(`token ${text}`).digest();
  }
}
