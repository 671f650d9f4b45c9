/** One command that both sides run, and what of its outcome is compared. */
export interface Step {
  readonly args: readonly string[];
  readonly input?: string;
  /** Compare lines in any order. */
  readonly unordered?: boolean;
  /** Run it in a terminal (util-linux script). */
  readonly tty?: boolean;
  /** Only how it ended is the same by design. */
  readonly code?: boolean;
  /** How long ago something was is not compared, nor the widths that it has. */
  readonly ages?: boolean;
  /** Identifiers are of other things on each side. */
  readonly ids?: boolean;
  /** Nor how large. */
  readonly sizes?: boolean;
  /** The stock client of this machine is too old to know it. */
  readonly oursAlone?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

/** The words of a line; `host …`: a program of this machine, in the side's own directory. */
export const step = (line: string, more: Partial<Step> = {}): Step => ({ args: split(line), ...more });

/** Words by blanks; '…' and "…" keep blanks. */
function split(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"(?=\s|$)|(\S+)/g)].map((m) => m[1] ?? m[2] ?? m[3] ?? '');
}
