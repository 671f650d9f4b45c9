/**
 * How far a log was sent, beside the log: written after each batch, read by the daemon after this one, and by the pump
 * before it deletes lines. Two numbers: that of the line that is next, and 1 while the remote is there, as far as is known.
 */
import { close, open, pread, pwrite } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { isErrno } from '#sys/errno.ts';
import { sequenceOf } from '../local/sequence.ts';
import type { LogFileTarget } from '../log-file.ts';

const BYTES = 8;
const REACHABLE_AT = 8;

const positionPath = (logPath: string) => `${logPath}.sent`;

export class Position implements Disposable {
  readonly #fd: number;
  readonly #bytes = new DataView(new ArrayBuffer(BYTES));

  constructor(logPath: string) {
    this.#fd = open(positionPath(logPath), O.RDWR | O.CREAT | O.NOFOLLOW, 0o600);
  }

  /** Number of the line that is next. */
  read(): number {
    const length = pread(this.#fd, new Uint8Array(this.#bytes.buffer), 0);
    return length === BYTES ? this.#bytes.getFloat64(0, true) : 0;
  }

  write(sequence: number): void {
    this.#bytes.setFloat64(0, sequence, true);
    pwrite(this.#fd, new Uint8Array(this.#bytes.buffer), 0);
  }

  setReachable(reachable: boolean): void {
    this.#bytes.setFloat64(0, reachable ? 1 : 0, true);
    pwrite(this.#fd, new Uint8Array(this.#bytes.buffer), REACHABLE_AT);
  }

  [Symbol.dispose](): void {
    close(this.#fd);
  }
}

/** Number of the line that is to be sent next; undefined when the remote is not there, so that nothing waits for it. */
export function awaitedBy(logPath: string): number | undefined {
  try {
    const fd = open(positionPath(logPath), O.RDONLY | O.NOFOLLOW);
    const bytes = new DataView(new ArrayBuffer(2 * BYTES));
    const length = pread(fd, new Uint8Array(bytes.buffer), 0);
    close(fd);
    if (length < BYTES) return 0;
    // One of an older build says nothing of the remote: as far as is known it is there.
    const reachable = length < 2 * BYTES || bytes.getFloat64(REACHABLE_AT, true) === 1;
    return reachable ? bytes.getFloat64(0, true) : undefined;
  } catch (error) {
    // Nothing was sent yet.
    if (isErrno(error, 'ENOENT')) return 0;
    throw error;
  }
}

/** Whether a log has lines that its remote did not get yet; of one that was never sent from there are none. */
export function hasUnsent(log: LogFileTarget): boolean {
  try {
    const fd = open(positionPath(log.path), O.RDONLY | O.NOFOLLOW);
    const bytes = new DataView(new ArrayBuffer(BYTES));
    const known = pread(fd, new Uint8Array(bytes.buffer), 0) === BYTES;
    close(fd);
    return known && sequenceOf(log) > bytes.getFloat64(0, true);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
