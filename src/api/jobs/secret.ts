/** Jobs on secrets. */
import type { Secret } from '#api/types/secret.ts';
import { defineJob } from '#engine/engine.ts';
import type { Filters } from './container.ts';

export interface SecretCreateInput {
  readonly name: string;
  /** Overwritten when it is kept. */
  readonly value: Uint8Array;
  readonly labels: Readonly<Record<string, string>>;
  readonly replace: boolean;
}

/** Errors: conflict when the name is taken. */
export const secretCreate = defineJob<SecretCreateInput, { ID: string }>('secret.create');
export const secretList = defineJob<{ filters: Filters }, Secret[]>('secret.list');
/** Errors: not-found. */
export const secretInspect = defineJob<{ secret: string }, Secret>('secret.inspect');
/** Errors: not-found; conflict while a container has it. */
export const secretRemove = defineJob<{ secret: string }, void>('secret.remove');
