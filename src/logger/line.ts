/** One line of a container's output on its way to a remote. */
export interface LogLine {
  readonly stream: 1 | 2;
  readonly ns: bigint;
  /** Without its newline. A view: valid until the next line is read. */
  readonly text: Uint8Array;
  /** A piece of a line of more than 16 KiB, or the last one, which has its end. */
  readonly piece: Piece | undefined;
}

export interface Piece {
  /** Of the whole line: 64 hex digits. */
  readonly id: string;
  /** From 1. */
  readonly ordinal: number;
  readonly last: boolean;
}

/** What a driver's line becomes; undefined: nothing is sent for it. */
export type LineEncoder = (line: LogLine) => Uint8Array | undefined;

export const streamName = (stream: 1 | 2): 'stdout' | 'stderr' => (stream === 2 ? 'stderr' : 'stdout');
