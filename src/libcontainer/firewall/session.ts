/** A context of libnftables: text in, errors with the library's own words, JSON out. */
import { systemError } from '#errdefs/errors.ts';
import { type Handle, loadNftables, type Nftables } from '#sys/libraries.ts';

/** NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE */
const OUTPUT = { text: 0, json: (1 << 4) | (1 << 3) } as const;

export class NftablesSession implements Disposable {
  readonly #library: Nftables;
  readonly #context: Handle;

  /** Errors: unavailable when libnftables is missing. */
  constructor() {
    this.#library = loadNftables();
    this.#context = this.#library.ctxNew(0);
    if (this.#context === 0) throw systemError('Cannot make a context of libnftables');
    this.#library.bufferOutput(this.#context);
    this.#library.bufferError(this.#context);
  }

  /** One transaction. `what` is for the message: "Cannot …". */
  run(what: string, text: string): void {
    if (this.#library.runCmdFromBuffer(this.#context, text) === 0) return;
    const message = this.#library.getErrorBuffer(this.#context).trim();
    throw systemError(`Cannot ${what}: ${message === '' ? 'nft gives no reason' : message}`);
  }

  /** The answer to a `list` command. */
  json(command: string): unknown {
    this.#library.outputSetFlags(this.#context, OUTPUT.json);
    try {
      this.run(`ask nftables: ${command}`, command);
      const text = this.#library.getOutputBuffer(this.#context);
      return text === '' ? {} : JSON.parse(text);
    } finally {
      this.#library.outputSetFlags(this.#context, OUTPUT.text);
    }
  }

  [Symbol.dispose](): void {
    this.#library.ctxFree(this.#context);
  }
}
