/** How a log's output is wanted, and what a format's decoder and searches answer. */

export interface Rendering {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly timestamps: boolean;
  /** The attributes before each line. */
  readonly details: boolean;
  /** 'none' for a terminal's output, 'merged' for few large frames, 'line' for one each. */
  readonly frames: 'none' | 'merged' | 'line';
}

export interface Decoded {
  /** Bytes of input that are done with. */
  readonly consumed: number;
  /** A view; valid until the next call. May be empty though input was consumed (filtered, damaged). */
  readonly output: Uint8Array;
  /** Lines that were no log lines. */
  readonly damaged: number;
}

/** Where the last lines of a file begin: `skip` lines after the offset, which is where a decoder can begin. */
export interface TailPlace {
  readonly offset: number;
  readonly lines: number;
  readonly skip: number;
}

/** `k=v,k=v`, both escaped as in a URL's query, sorted. */
export function renderAttrs(attrs: Readonly<Record<string, string>>): string {
  const escape = (text: string) => encodeURIComponent(text).replaceAll('%20', '+');
  return Object.keys(attrs)
    .sort()
    .map((name) => `${escape(name)}=${escape(attrs[name] ?? '')}`)
    .join(',');
}
