/** The Worker's end of the command pipe: whole lines of whatever pieces the pipe gives. */
import { transfer } from '#sys/call.ts';
import { setNonBlocking } from '#sys/files.ts';
import { NR } from '#sys/numbers.ts';
import type { Command } from './protocol.ts';

const READ_BYTES = 65_536;

export class CommandReader {
  readonly fd: number;
  readonly #buffer = new Uint8Array(READ_BYTES);
  /** latin1, so that a character in two pieces stays whole. */
  #text = '';
  /** The main thread has closed its end. */
  ended = false;

  constructor(fd: number) {
    this.fd = fd;
    setNonBlocking(fd);
  }

  /** All commands that are there. */
  read(): Command[] {
    for (;;) {
      const length = transfer(NR.read, this.fd, this.#buffer);
      if (length === 0) this.ended = true;
      if (length <= 0) break;
      this.#text += Buffer.from(this.#buffer.buffer, 0, length).toString('latin1');
    }
    const lines = this.#text.split('\n');
    this.#text = lines.pop() ?? '';
    // as: written by pump.ts, nobody else has the pipe.
    return lines.map((line) => JSON.parse(Buffer.from(line, 'latin1').toString('utf8')) as Command);
  }
}
