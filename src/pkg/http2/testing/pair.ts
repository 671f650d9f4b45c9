/** Two ends of a stream of bytes in memory, for tests of what speaks over one. */
import type { ByteStream } from '../connection.ts';

class Pipe {
  readonly #chunks: Uint8Array[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  push(bytes: Uint8Array): void {
    if (!this.#ended) this.#chunks.push(Uint8Array.from(bytes));
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) yield chunk;
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

export function pair(): readonly [ByteStream, ByteStream] {
  const there = new Pipe();
  const back = new Pipe();
  const end = (input: Pipe, output: Pipe): ByteStream => ({
    input,
    write: async (bytes) => output.push(bytes),
    end: () => output.end(),
  });
  return [end(back, there), end(there, back)];
}
