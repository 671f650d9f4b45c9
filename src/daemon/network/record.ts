/** A network as one document of graphdb; the three that are there from the start have one that is never stored. */
import type { Ipam } from '#api/types/network.ts';
import { dataLoss } from '#errdefs/errors.ts';
import type { PluginPool } from '#networkdriver/remote/ipam.ts';

export const NETWORK_KIND = 'network';

export interface NetworkRecord {
  readonly id: string;
  readonly name: string;
  /** RFC 3339 with nanoseconds. */
  readonly createdAt: string;
  readonly driver: string;
  readonly enableIPv4: boolean;
  readonly enableIPv6: boolean;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** Complete: what the user left open has been chosen. */
  readonly ipam: Ipam;
  /** Those that an IPAM plugin has given. */
  readonly pools?: readonly PluginPool[];
  /** Which of the subnets the user named: only on those may an endpoint ask for an address. */
  readonly userSubnets: readonly string[];
  /** Its removal has begun: nobody sees it any more, a start of the daemon finishes it. */
  readonly removing: boolean;
  /** It is no network but a configuration of some: others are created of it by name. */
  readonly configOnly?: boolean;
  /** Name of the configuration that it was made of. */
  readonly configFrom?: string;
  /** Counts the updates. */
  readonly revision?: number;
  /** What the user called its scope, where that is not `local`. */
  readonly scope?: string;
}

/** Errors: data-loss when the document is not a network. */
export function decodeNetwork(id: string, document: unknown): NetworkRecord {
  if (typeof document === 'object' && document !== null && Reflect.get(document, 'id') === id) {
    // as: only `put` of this part writes documents of this kind; the database itself guards against damage.
    if (typeof Reflect.get(document, 'name') === 'string') return document as NetworkRecord;
  }
  throw dataLoss(`Cannot read network "${id}": the document is not a network`);
}
