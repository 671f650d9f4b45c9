/**
 * An answer whose bytes come over time, chunked. The head goes out with the first byte, so until then a failure can still
 * become an error answer; one that broke off later has no last chunk.
 */
import type { OutputStream } from '#api/jobs/streams.ts';
import type { LentOutput } from '#pkg/http-body/lent.ts';
import type { Transport } from './transport.ts';
import type { WriteQueue } from './write-queue.ts';

const LAST_CHUNK = Buffer.from('0\r\n\r\n');

interface StreamParts {
  readonly chunked: boolean;
  readonly silent: boolean;
  readonly queue: WriteQueue;
  readonly transport: Transport;
  readonly closed: () => AbortSignal;
  readonly begin: (chunked: boolean) => Buffer;
  readonly end: (whole: boolean) => void;
}

export class ResponseStream implements OutputStream {
  readonly #parts: StreamParts;
  #started = false;
  #ended = false;

  constructor(parts: StreamParts) {
    this.#parts = parts;
  }

  get closed(): AbortSignal {
    return this.#parts.closed();
  }

  get started(): boolean {
    return this.#started;
  }

  flush(): void {
    if (this.#started || this.#ended) return;
    this.#started = true;
    this.#parts.queue.write(this.#parts.begin(this.#parts.chunked));
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#ended || bytes.length === 0) return Promise.resolve();
    const { queue, chunked, silent } = this.#parts;
    this.flush();
    if (!silent) queue.write(chunked ? framed(bytes) : bytes);
    return queue.room();
  }

  /** As OutputStream has it. */
  async lend(): Promise<LentOutput | undefined> {
    const { queue, transport, chunked, silent } = this.#parts;
    if (this.#ended || silent || transport.fd < 0) return undefined;
    this.flush();
    await queue.flushed();
    await transport.settled();
    return this.#ended || this.closed.aborted ? undefined : { fd: transport.fd, chunked };
  }

  /** Whole. */
  finish(): void {
    if (this.#ended) return;
    this.flush();
    this.#ended = true;
    if (this.#parts.chunked && !this.#parts.silent) this.#parts.queue.write(LAST_CHUNK);
    this.#parts.end(true);
  }

  /** Not whole: the client sees the connection break. */
  breakOff(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#parts.end(false);
  }
}

/** One buffer and so one write: size line, bytes, CR LF. */
function framed(bytes: Uint8Array): Buffer {
  const size = `${bytes.length.toString(16)}\r\n`;
  const out = Buffer.allocUnsafe(size.length + bytes.length + 2);
  out.write(size, 0, 'latin1');
  out.set(bytes, size.length);
  out[out.length - 2] = 13;
  out[out.length - 1] = 10;
  return out;
}
