/** Digests of blobs: sha256 as a rule, sha512 where somebody else has chosen it. */
import { createHash } from 'node:crypto';

export type Algorithm = 'sha256' | 'sha512';

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export const isBlobDigest = (text: string): boolean => DIGEST.test(text);

/** Preconditions: a blob's digest. */
export const algorithmOf = (digest: string): Algorithm => (digest.startsWith('sha512:') ? 'sha512' : 'sha256');

export const hexOf = (digest: string): string => digest.slice('sha256:'.length);

/** By its length. */
export const ofHex = (hex: string): string => `${hex.length === 128 ? 'sha512' : 'sha256'}:${hex}`;

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}
