/** Names and ids of the three networks that are there from the start. */
import { createHash } from 'node:crypto';

const networkNames = ['bridge', 'host', 'none'];

/** The same id at every start. */
export function networkIdOf(name: string): string {
  return createHash('sha256').update(`berth network ${name}`).digest('hex');
}

/** 'default' is another name of the bridge. */
export const isPredefined = (name: string): boolean => name === 'default' || networkNames.includes(name);
