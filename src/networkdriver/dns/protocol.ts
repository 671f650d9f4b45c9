/** What the main thread and the DNS Worker tell each other. Descriptors are numbers: both are one process. */
import type { LearnedName } from '#libcontainer/firewall/egress-flow.ts';
import type { NamedNetwork, View } from './tables.ts';

export type DnsCommand =
  | { readonly op: 'networks'; readonly networks: readonly NamedNetwork[] }
  /** The descriptors are the Worker's from here on. */
  | {
      readonly op: 'serve';
      readonly container: string;
      readonly udp: number;
      readonly tcp: number;
      readonly view: View;
    }
  | { readonly op: 'view'; readonly container: string; readonly view: View }
  /** What its names have led to: asked for behind a `view`, it is what that view allows. */
  | { readonly op: 'learned'; readonly container: string; readonly ticket: number }
  | { readonly op: 'end'; readonly container: string }
  /** Names for the host; the descriptors are the Worker's. Only questions from `address` itself are the host's. */
  | { readonly op: 'serve-host'; readonly udp: number; readonly tcp: number; readonly address: string }
  | { readonly op: 'end-host'; readonly ticket: number }
  /** Others had emptied the firewall tables: what names led to is opened again. */
  | { readonly op: 'repaired' };

/** What the Worker tells the main thread. */
export type DnsReport =
  | DnsDenial
  /** The answer to what has a ticket; nothing learned where nothing was asked for. */
  | { readonly kind: 'learned'; readonly ticket: number; readonly learned: readonly LearnedName[] };

/** A name that the container's egress policies do not allow. */
export interface DnsDenial {
  readonly kind: 'denied';
  readonly container: string;
  readonly name: string;
}
