/** Names of links inside containers: what the user asks for, else the network's prefix and the first free number. */
import { interfaceNameOf } from '#container/endpoint-options.ts';
import type { NetworkWish } from '#container/network-wish.ts';
import type { NetworkRecord } from './record.ts';
import { conflict } from '#errdefs/errors.ts';
import { OPTION } from './options.ts';

const PREFIX = 'eth';

type Named = Pick<NetworkRecord, 'name' | 'options'>;

/** Of a link that comes to these. Errors: conflict when the wanted name is taken. */
export function nextInterface(network: Named, wish: NetworkWish, taken: readonly string[]): string {
  const wanted = interfaceNameOf(wish.driverOpts);
  if (wanted !== undefined) {
    if (taken.includes(wanted) || wanted === 'lo') {
      throw conflict(`Cannot name the interface of network "${network.name}" "${wanted}": the name is taken`);
    }
    return wanted;
  }
  const prefix = network.options[OPTION.containerPrefix] ?? PREFIX;
  let index = 0;
  while (taken.includes(`${prefix}${index}`)) index++;
  return `${prefix}${index}`;
}

/** Names that other networks of the container ask for: none of them is given unasked. */
export const wantedInterfaces = (wishes: readonly NetworkWish[]): string[] =>
  wishes.map(({ driverOpts }) => interfaceNameOf(driverOpts)).filter((name) => name !== undefined);
