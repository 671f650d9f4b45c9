/**
 * A connection to a daemon as bytes: what a hijacked request becomes, and what short requests are spoken over. Reading is
 * pulled, so that a slow reader slows the daemon; both directions end on their own.
 */
import type { ReachableAddress } from './address.ts';
import { connectionFailure } from './connection-failure.ts';

/** Beyond this much unread output the socket is no longer read, so that a slow terminal slows the process. */
const UNREAD_BYTES_MAX = 4 * 1024 * 1024;

export class RawConnection {
  readonly #chunks: Uint8Array[] = [];
  #unread = 0;
  #paused = false;
  #ended = false;
  #failure: Error | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  #socket: Bun.Socket | undefined;

  static async open(address: ReachableAddress): Promise<RawConnection> {
    const connection = new RawConnection();
    await connection.#connect(address);
    return connection;
  }

  /** Nothing unread, and not ended: another request may be sent. */
  get idle(): boolean {
    return !this.#ended && this.#failure === undefined && this.#chunks.length === 0;
  }

  /** The next bytes; undefined at their end. One reader. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#unread -= chunk.length;
        if (this.#paused && this.#unread < UNREAD_BYTES_MAX / 2) {
          this.#paused = false;
          this.#socket?.resume();
        }
        return chunk;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
  }

  /** Bytes that were read too far. */
  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.unshift(bytes);
    this.#unread += bytes.length;
  }

  /** Resolves when the bytes are with the kernel. After the connection has ended it does nothing. */
  async write(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0 && !this.#ended && this.#socket !== undefined) {
      const written = this.#socket.write(rest);
      if (written < 0) return;
      rest = rest.subarray(written);
      if (rest.length > 0) await new Promise<void>((resolve) => (this.#wakeWriter = resolve));
    }
  }

  /** While it rests it keeps no process alive. */
  rest(resting: boolean): void {
    if (resting) this.#socket?.unref();
    else this.#socket?.ref();
  }

  /** Ends our direction; the daemon's goes on. */
  closeWrite(): void {
    if (!this.#ended) this.#socket?.shutdown();
  }

  [Symbol.dispose](): void {
    this.#end();
    this.#socket?.terminate();
  }

  async #connect(address: ReachableAddress): Promise<void> {
    const socket: Bun.SocketHandler<undefined, 'uint8array'> = {
      binaryType: 'uint8array',
      data: (s, bytes) => {
        this.#chunks.push(bytes);
        this.#unread += bytes.length;
        if (this.#unread > UNREAD_BYTES_MAX && !this.#paused) {
          this.#paused = true;
          s.pause();
        }
        this.#wakeReader?.();
      },
      drain: () => this.#wakeWriter?.(),
      end: () => this.#end(),
      close: () => this.#end(),
      error: (_s, error) => {
        this.#failure = error;
        this.#end();
      },
    };
    try {
      this.#socket =
        address.kind === 'unix'
          ? await Bun.connect({ unix: address.path, allowHalfOpen: true, socket: asDefaultHandler(socket) })
          : await Bun.connect({
              hostname: address.hostname.replace(/^\[|\]$/g, ''),
              port: address.port,
              allowHalfOpen: true,
              socket: asDefaultHandler(socket),
              ...(address.tls === undefined ? {} : { tls: socketTls(address) }),
            });
    } catch (error) {
      throw connectionFailure(address, error);
    }
  }

  #end(): void {
    this.#ended = true;
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }
}

function socketTls(address: Extract<ReachableAddress, { kind: 'tcp' }>): Bun.TLSOptions {
  const { tls } = address;
  return {
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    rejectUnauthorized: tls?.verify ?? true,
    serverName: address.hostname.replace(/^\[|\]$/g, ''),
  };
}

/** Bun.connect's types know only the default binary type, although it honours `binaryType`. */
function asDefaultHandler(handler: Bun.SocketHandler<undefined, 'uint8array'>): Bun.SocketHandler<undefined> {
  // as: a Buffer, which the default type promises, is a Uint8Array, and nothing here uses more than that.
  return handler as unknown as Bun.SocketHandler<undefined>;
}
