/** Identities of layers: a DiffId is the digest of a layer's tar, a ChainId that of a whole stack of layers. */
import { createHash } from 'node:crypto';

export type DiffId = string & { readonly __brand: 'DiffId' };
export type ChainId = string & { readonly __brand: 'ChainId' };

/** Of a tar without files: such a layer is none. */
// as: the digest of two zero blocks.
export const EMPTY_DIFF_ID = 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef' as DiffId;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

export function isDiffId(text: string): text is DiffId {
  return DIGEST.test(text);
}

/** The stack's identity; undefined for no layers. As the OCI image specification defines it. */
export function chainIdOf(diffIds: readonly DiffId[]): ChainId | undefined {
  return chainIds(diffIds).at(-1);
}

/** The identity of each prefix of the stack. */
export function chainIds(diffIds: readonly DiffId[]): ChainId[] {
  const chain: ChainId[] = [];
  let current: string | undefined;
  for (const diffId of diffIds) {
    current =
      current === undefined ? diffId : `sha256:${createHash('sha256').update(`${current} ${diffId}`).digest('hex')}`;
    // as: this is how a ChainId is made.
    chain.push(current as ChainId);
  }
  return chain;
}
