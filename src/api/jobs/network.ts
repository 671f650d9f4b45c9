/** Jobs on networks. Only the networks that are there from the start (bridge, host, none) until the networking issue. */
import type { NetworkInspect } from '#api/types/network.ts';
import { defineJob } from '#engine/engine.ts';
import type { Filters } from './container.ts';

/** `Containers` of each is empty, as in dockerd's list. */
export const networkList = defineJob<{ filters: Filters }, NetworkInspect[]>('network.list');
/** By id, unique prefix or name. Errors: not-found `network X not found`. */
export const networkInspect = defineJob<{ network: string }, NetworkInspect>('network.inspect');
