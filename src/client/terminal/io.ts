/**
 * The program's text output and what it knows of its terminal. Writes are synchronous: a table is complete before the
 * process ends, whatever stdout is. Streams of containers go through OutputPort instead.
 */
import { nodeFs } from '../node-modules.ts';

export interface Io {
  out(text: string): void;
  err(text: string): void;
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
}

/** What a process that writes to a closed pipe ends with (128 + SIGPIPE). */
const EXIT_PIPE = 141;
const RETRY_MS = 2;

export function processIo(): Io {
  return {
    out: (text) => writeAll(1, text),
    err: (text) => writeAll(2, text),
    get stdinIsTerminal() {
      return mayBeTerminal(0) && process.stdin.isTTY;
    },
    get stdoutIsTerminal() {
      return mayBeTerminal(1) && process.stdout.isTTY;
    },
  };
}

const MAJOR_MEMORY = 1;

/** Asking the runtime loads its terminal and socket modules (8 ms), so pipes, files and /dev/null are told apart first. */
function mayBeTerminal(fd: number): boolean {
  try {
    const stat = nodeFs().fstatSync(fd);
    return stat.isCharacterDevice() && Math.trunc(stat.rdev / 256) !== MAJOR_MEMORY;
  } catch {
    return false;
  }
}

function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  const { writeSync } = nodeFs();
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : '';
      // Somebody else made this pipe or terminal non-blocking; it is full for a moment.
      if (code === 'EAGAIN') Bun.sleepSync(RETRY_MS);
      else if (code === 'EPIPE') process.exit(EXIT_PIPE);
      else if (fd === 2) return;
      else throw error;
    }
  }
}
