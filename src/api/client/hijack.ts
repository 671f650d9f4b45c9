/**
 * A request whose connection becomes a raw two-way stream (attach, exec start). fetch cannot give up its socket, so the
 * head is written and read here. Half-close works in both directions: the process's input may end while its output
 * goes on.
 */
import { ApiError, messageOfBody } from './api-error.ts';
import type { ReachableAddress } from './address.ts';
import { connectionFailure } from './connection-failure.ts';

export interface HijackRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const HEAD_BYTES_MAX = 64 * 1024;
/** Beyond this much unread output the socket is no longer read, so that a slow terminal slows the process. */
const UNREAD_BYTES_MAX = 4 * 1024 * 1024;

export class HijackedConnection {
  /** Media type of the answer: tells multiplexed from raw, when the daemon says so (dockerd ≥ 23). */
  mediaType = '';
  readonly #chunks: Uint8Array[] = [];
  #unread = 0;
  #paused = false;
  #ended = false;
  #failure: Error | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  #socket: Bun.Socket | undefined;

  static async open(address: ReachableAddress, request: HijackRequest): Promise<HijackedConnection> {
    const connection = new HijackedConnection();
    await connection.#connect(address);
    await connection.write(encodeHead(request));
    try {
      await connection.#readHead(request.path);
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
    return connection;
  }

  /** What the daemon sends, until its end. One reader. */
  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#unread -= chunk.length;
        if (this.#paused && this.#unread < UNREAD_BYTES_MAX / 2) {
          this.#paused = false;
          this.#socket?.resume();
        }
        yield chunk;
        continue;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return;
      await new Promise<void>((resolve) => (this.#wakeReader = resolve));
    }
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

  async #readHead(path: string): Promise<void> {
    let head: Uint8Array = new Uint8Array(0);
    let end = -1;
    const input = this.read();
    while (end < 0) {
      const { value } = await input.next();
      if (value === undefined) throw new ApiError(500, 'unexpected EOF');
      head = Buffer.concat([head, value]);
      end = Buffer.from(head.buffer, head.byteOffset, head.length).indexOf('\r\n\r\n');
      if (end < 0 && head.length > HEAD_BYTES_MAX) throw new ApiError(500, 'the answer has no head');
    }
    const [statusLine = '', ...lines] = new TextDecoder().decode(head.subarray(0, end)).split('\r\n');
    const status = Number(statusLine.split(' ')[1]);
    const headers = new Map(lines.map((line) => headerOf(line)));
    const rest = head.subarray(end + 4);
    if (status === 101 || status === 200) {
      this.mediaType = headers.get('content-type') ?? '';
      if (rest.length > 0) {
        this.#chunks.unshift(rest);
        this.#unread += rest.length;
      }
      return;
    }
    const body = await this.#readBody(rest, Number(headers.get('content-length') ?? -1));
    throw new ApiError(status, messageOfBody(status, path, body));
  }

  /** The body of a refusal: short; chunked ones are found between their braces. */
  async #readBody(first: Uint8Array, length: number): Promise<string> {
    let body: Uint8Array = first;
    const input = this.read();
    while (length < 0 ? !new TextDecoder().decode(body).includes('\r\n0\r\n') : body.length < length) {
      const { value } = await input.next();
      if (value === undefined || body.length > HEAD_BYTES_MAX) break;
      body = Buffer.concat([body, value]);
    }
    const text = new TextDecoder().decode(body);
    return length < 0 ? text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1) : text;
  }
}

function headerOf(line: string): readonly [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}

function encodeHead(request: HijackRequest): Uint8Array {
  const body = new TextEncoder().encode(request.body);
  const lines = [
    `POST ${request.path} HTTP/1.1`,
    'Host: docker',
    ...Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`),
    'Connection: Upgrade',
    'Upgrade: tcp',
    `Content-Length: ${body.length}`,
    '',
    '',
  ];
  return Buffer.concat([new TextEncoder().encode(lines.join('\r\n')), body]);
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
