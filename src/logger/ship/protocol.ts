/** What the main thread and the shipping thread say to each other, by postMessage: the latter has the runtime's own loop. */
import type { LogFileTarget } from '../log-file.ts';
import type { RemoteTarget } from '../remote-target.ts';

export interface Shipped {
  readonly id: string;
  readonly file: LogFileTarget;
  readonly remote: RemoteTarget;
}

export type ShipCommand =
  /** Output comes, or may have come, that is to be sent. */
  | ({ readonly op: 'open' } & Shipped)
  /** No more comes for now: what there is, is sent, and that is the end of it. */
  | { readonly op: 'end'; readonly id: string }
  /** The files are about to be deleted: they are held from now on, and sent for a while yet. Answered by `released`. */
  | { readonly op: 'release'; readonly id: string }
  | { readonly op: 'stop' };

export type ShipEvent =
  | { readonly type: 'released'; readonly id: string }
  /** All was sent, or given up. */
  | { readonly type: 'done'; readonly id: string }
  /** The remote is slow: the container is to be held back, or not any more. */
  | { readonly type: 'pause'; readonly id: string; readonly on: boolean }
  /** The remote cannot be reached, or, without an error, can be again. */
  | { readonly type: 'remote'; readonly id: string; readonly error: string | undefined }
  | { readonly type: 'lost'; readonly id: string; readonly lines: number; readonly reason: string }
  | { readonly type: 'stopped' };
