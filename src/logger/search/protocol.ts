/** What the main thread and the searching thread say to each other. */
import type { LogFileTarget } from '../log-file.ts';

export interface SearchedLog {
  readonly container: string;
  readonly name: string;
  readonly removed: boolean;
  readonly log: Pick<LogFileTarget, 'driver' | 'path' | 'maxFiles'>;
}

export interface Search {
  readonly logs: readonly SearchedLog[];
  /** A regular expression. */
  readonly pattern: string;
  /** Nanoseconds since the epoch, inclusive; 0n: no bound. */
  readonly sinceNs: bigint;
  readonly untilNs: bigint;
}

export type SearchCommand =
  | { readonly op: 'search'; readonly token: number; readonly search: Search }
  /** Some of what was found is with the client. */
  | { readonly op: 'more'; readonly token: number }
  | { readonly op: 'cancel'; readonly token: number };

export type SearchEvent =
  /** Lines of JSON, or, empty, that it goes on. */
  | { readonly type: 'found'; readonly token: number; readonly bytes: Uint8Array }
  | { readonly type: 'end'; readonly token: number; readonly error: string | undefined };
