/** The names by which a container is known on a network. */
import type { NetworkWish } from '#container/network-wish.ts';
import type { ContainerRecord } from '#container/record.ts';

const SHORT_ID = 12;

/** Its own name, its aliases there, its short id, and its host name where that is another. */
export function dnsNamesOf(record: ContainerRecord, wish: Pick<NetworkWish, 'aliases'>): string[] {
  return [...new Set([record.name, ...wish.aliases, record.id.slice(0, SHORT_ID), record.config.Hostname])].filter(
    (name) => name !== '',
  );
}
