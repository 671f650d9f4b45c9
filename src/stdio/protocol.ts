/**
 * What the main thread and the pump's Worker say to each other. Commands go through a pipe in the Worker's epoll set, one
 * JSON object a line (a Worker that sits in its own loop misses posted messages); events come back by postMessage.
 * Descriptors are numbers of the one process; a command hands its duplicate over and the Worker closes it.
 */
import type { LogFileTarget, PackedFile } from '#logger/log-file.ts';
import type { LogLoss } from './log-sink.ts';

/** What an attached client gets. */
export interface Selection {
  readonly stdout: boolean;
  readonly stderr: boolean;
}

export type Command =
  /** Makes an output without a process; attachments may come before it. */
  | {
      readonly op: 'create';
      readonly output: number;
      readonly key: string;
      readonly tty: boolean;
      readonly log: LogFileTarget | undefined;
    }
  /** The process exists: its output is read from now on. -1: none. */
  | { readonly op: 'start'; readonly output: number; readonly stdout: number; readonly stderr: number }
  /** With `hold` the output stands still until `resume` names the descriptor. */
  | {
      readonly op: 'attach';
      readonly output: number;
      readonly attachment: number;
      readonly select: Selection;
      readonly fd: number;
    }
  | { readonly op: 'hold'; readonly output: number; readonly attachment: number; readonly select: Selection }
  | { readonly op: 'resume'; readonly output: number; readonly attachment: number; readonly fd: number }
  | { readonly op: 'detach'; readonly output: number; readonly attachment: number }
  /** Reads what is there and ends, although somebody may still hold the other end. */
  | { readonly op: 'finish'; readonly output: number }
  /** Lets go at once; what is in the pipes stays there. */
  | { readonly op: 'close'; readonly output: number }
  /** Tells once when the descriptor takes bytes again, or is broken. */
  | { readonly op: 'writable'; readonly token: number; readonly fd: number }
  /** While it is on, the output is not read: whoever its log is sent to is behind. */
  | { readonly op: 'pause'; readonly output: number; readonly on: boolean }
  /** From now on the output is logged otherwise; undefined: not at all. */
  | { readonly op: 'relog'; readonly output: number; readonly log: LogFileTarget | undefined }
  /** A rotated file was compressed: the compressed one takes its place. */
  | { readonly op: 'packed'; readonly file: PackedFile }
  | { readonly op: 'forget-unclaimed' }
  | { readonly op: 'stop' };

/** Why an attachment ended: the output did, it was asked to, the client has gone, or it took nothing for too long. */
export type AttachmentEnd = 'ended' | 'detached' | 'gone' | 'stalled';

/** Where the log stood when an output was held: `size` bytes of the file `ino`, and the unfinished lines after it. */
export interface HeldPosition {
  readonly ino: string;
  readonly size: number;
}

export type PumpEvent =
  | { readonly type: 'ready'; readonly recovered: string | undefined }
  | { readonly type: 'attached'; readonly attachment: number; readonly position: HeldPosition | undefined }
  | { readonly type: 'detached'; readonly attachment: number; readonly end: AttachmentEnd }
  | { readonly type: 'drained'; readonly output: number }
  | { readonly type: 'closed'; readonly output: number }
  | { readonly type: 'writable'; readonly token: number }
  | ({ readonly type: 'log-failed' } & LogLoss)
  | ({ readonly type: 'rotated' } & Omit<PackedFile, 'packed' | 'key'>)
  | { readonly type: 'output-failed'; readonly output: number; readonly error: string }
  | { readonly type: 'stopped' }
  | { readonly type: 'failed'; readonly error: string };

/** What the Worker is told first, in its only message. */
export interface PumpOptions {
  readonly commands: number;
  readonly journal: string;
  readonly stallMs: number;
}
