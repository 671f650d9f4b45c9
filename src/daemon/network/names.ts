/** Names and ids of the three networks that are there from the start. */
import { createHash } from 'node:crypto';

export const networkNames = ['bridge', 'host', 'none'] as const;
export type NetworkName = (typeof networkNames)[number];

/** The same id at every start. */
export function networkIdOf(name: string): string {
  return createHash('sha256').update(`berth network ${name}`).digest('hex');
}

/** 'default' is another name of the bridge. */
export const isPredefined = (name: string): boolean =>
  name === 'default' || networkNames.some((known) => known === name);
