/**
 * A connection that its server lends out for the bytes of one body, so that another thread reads or writes the socket
 * itself. While it is lent the server touches only the other direction. The descriptors stay the server's: dup them.
 */
import type { BodyPosition } from './body-decoder.ts';

/** The server's bytes are all with the kernel; the answer's head is among them. */
export interface LentOutput {
  readonly fd: number;
  /** What is written must be framed as chunks; the last one is the server's. */
  readonly chunked: boolean;
}

/** Where the body stands, and what was read behind it. */
export interface BodyRest {
  readonly position: BodyPosition;
  readonly bytes: Uint8Array;
}

export interface LentInput {
  readonly fd: number;
  /** Where the body stands after `queued`. */
  readonly position: BodyPosition;
  /** Parts of the body that have been read already. */
  readonly queued: readonly Uint8Array[];
  /** To be called once, whatever happened. undefined: nobody knows where the body stands, so the connection ends. */
  giveBack(rest: BodyRest | undefined): void;
}

/** Undefined where there is no socket to lend (TLS), or nothing left to come. */
export interface BodyInput extends AsyncIterable<Uint8Array> {
  lend?(): Promise<LentInput | undefined>;
}

export interface BodyOutput {
  /** Takes the bytes before it returns; settles when there is room for more. */
  write(bytes: Uint8Array): Promise<void>;
  lend?(): Promise<LentOutput | undefined>;
}
