/** What the main thread tells the DNS Worker. Descriptors are numbers: both are one process. */
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
  | { readonly op: 'end'; readonly container: string };
