/**
 * A context of libnftables: text in, errors with the library's own words, JSON out. Making one costs more than a call, so
 * it is kept between calls; but it holds half a megabyte for every table of the host, so not for long.
 */
import { systemError, unavailable } from '#errdefs/errors.ts';
import { close, open } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { type Handle, loadNftables, type Nftables } from '#sys/libraries.ts';

/** NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE */
const OUTPUT = { text: 0, json: (1 << 4) | (1 << 3) } as const;

const REST_MS = 2_000;
/** A socket is not closed before nftables has destroyed what was taken out of it. */
const DESTROYED_MS = 200;

/**
 * The library waits by select(2), which knows descriptors below 1024 only, and the C library ends the process at the first
 * greater one: a daemon of many containers or ports has as many. So some low numbers are held for the library's sockets.
 */
const SELECT_MAX = 1_024;
const HELD_MAX = 6;
const held: number[] = [];

/** Before the process has many descriptors. Idempotent. */
export function holdLowDescriptors(count = HELD_MAX): void {
  while (held.length < count) {
    const fd = open('/dev/null', O.RDONLY | O.CLOEXEC);
    if (fd >= SELECT_MAX) return close(fd);
    held.push(fd);
  }
}

/** What `make` opens first gets a low number; other threads may take one of them meanwhile. */
function withLowDescriptor<T>(make: () => T): T {
  holdLowDescriptors();
  const count = held.length;
  if (count === 0) throw unavailable(`Cannot talk to nftables: the daemon has more than ${SELECT_MAX} open files`);
  for (const fd of held.splice(0)) close(fd);
  try {
    return make();
  } finally {
    holdLowDescriptors(count - 1);
  }
}

export class NftablesSession implements Disposable {
  readonly #library: Nftables;
  #context: Handle | undefined;
  #rest: NodeJS.Timeout | undefined;
  #usedAt = 0;

  /** Errors: unavailable when libnftables is missing. */
  constructor() {
    this.#library = loadNftables();
  }

  #made(): Handle {
    this.#usedAt = performance.now();
    this.#rest ??= setTimeout(() => this.#settle(), REST_MS).unref();
    if (this.#context !== undefined) return this.#context;
    const context = withLowDescriptor(() => this.#library.ctxNew(0));
    if (context === 0) throw systemError('Cannot make a context of libnftables');
    this.#library.bufferOutput(context);
    this.#library.bufferError(context);
    this.#context = context;
    return context;
  }

  /** One transaction. `what` is for the message: "Cannot …". */
  run(what: string, text: string): void {
    const context = this.#made();
    if (this.#library.runCmdFromBuffer(context, text) === 0) return;
    const message = this.#library.getErrorBuffer(context).trim();
    throw systemError(`Cannot ${what}: ${message === '' ? 'nft gives no reason' : message}`);
  }

  /** The answer to a `list` command. */
  json(command: string): unknown {
    const context = this.#made();
    this.#library.outputSetFlags(context, OUTPUT.json);
    try {
      this.run(`ask nftables: ${command}`, command);
      const text = this.#library.getOutputBuffer(context);
      return text === '' ? {} : JSON.parse(text);
    } finally {
      this.#library.outputSetFlags(context, OUTPUT.text);
    }
  }

  #settle(): void {
    if (performance.now() - this.#usedAt > DESTROYED_MS) this[Symbol.dispose]();
    else this.#rest = setTimeout(() => this.#settle(), DESTROYED_MS).unref();
  }

  /** Lets go; the next call makes a context anew. */
  [Symbol.dispose](): void {
    clearTimeout(this.#rest);
    this.#rest = undefined;
    if (this.#context === undefined) return;
    this.#library.ctxFree(this.#context);
    this.#context = undefined;
    holdLowDescriptors();
  }
}
