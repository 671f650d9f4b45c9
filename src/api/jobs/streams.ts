/** What streaming jobs read from and write to. The API server makes them over a connection, tests over memory. */
import type { LentOutput } from '#pkg/http-body/lent.ts';

/** Output that goes to the client as it comes. `write` resolves when there is room again. */
export interface OutputStream {
  /** Takes the bytes before it returns: the caller may use their memory again at once. */
  write(bytes: Uint8Array): Promise<void>;
  /** For another thread to write what follows; undefined where there is no socket for that. Nobody else writes then. */
  lend?(): Promise<LentOutput | undefined>;
  /** Sends the response head now although there is no byte yet (follow, events). */
  flush(): void;
  /** Aborted when the client has gone. */
  readonly closed: AbortSignal;
}

/** A hijacked connection (attach, exec start). */
export interface Connection {
  /** Bytes from the client; ends at its half-close; throws never: a broken connection ends it and aborts `closed`. */
  readonly input: AsyncIterable<Uint8Array>;
  /** Sends the upgrade answer; `tty` chooses the media type (raw-stream or multiplexed-stream). Call before writing. */
  accept(tty: boolean): void;
  /** Resolves when there is room again; after `closed` it does nothing. */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * The socket's descriptor, for a writer on another thread, once everything written so far is on the wire; -1 where
   * there is none (TLS). While somebody holds it nobody else may write. It stays the connection's: dup it.
   */
  descriptor(): Promise<number>;
  /** Ends our direction after what was written is out; the client sees the end. */
  end(): void;
  readonly closed: AbortSignal;
}
