/**
 * Short requests to a daemon behind a unix socket, by our own few lines of HTTP/1.1 over one kept connection. The
 * runtime's fetch does each request on a thread of its own that has to be started first and woken twice, which a command
 * that lives for 20 ms feels; whatever streams goes by fetch.
 */
import { ApiError } from './api-error.ts';
import type { ReachableAddress } from './address.ts';
import { encodeRequest, readHead, type RequestHead, type ResponseHead } from './message-head.ts';
import { RawConnection } from './raw-connection.ts';

/** What a Response has of it as well. */
export interface Answer {
  readonly status: number;
  /** The whole body; once. */
  text(): Promise<string>;
}

/** A connection that has rested longer may just be on its way to be closed by the daemon. */
const REST_MS_MAX = 1_000;
const CHUNK_LINE_BYTES_MAX = 1024;

export class Wire {
  readonly #address: ReachableAddress;
  #resting: { readonly connection: RawConnection; readonly since: number } | undefined;

  constructor(address: ReachableAddress) {
    this.#address = address;
  }

  /** Resolves when the head has come. */
  async exchange(request: RequestHead): Promise<Answer> {
    const connection = this.#rested() ?? (await RawConnection.open(this.#address));
    await connection.write(encodeRequest(request));
    const head = await readHead(connection);
    return {
      status: head.status,
      text: async () => {
        const body = await readBody(connection, head, request.method);
        const stays = head.persistent && head.headers.get('connection')?.toLowerCase() !== 'close';
        if (stays && isBounded(head, request.method)) this.#rest(connection);
        else connection[Symbol.dispose]();
        return body;
      },
    };
  }

  #rested(): RawConnection | undefined {
    const resting = this.#resting;
    this.#resting = undefined;
    if (resting === undefined) return undefined;
    const { connection, since } = resting;
    if (connection.idle && performance.now() - since < REST_MS_MAX) {
      connection.rest(false);
      return connection;
    }
    connection[Symbol.dispose]();
    return undefined;
  }

  #rest(connection: RawConnection): void {
    this.#resting?.connection[Symbol.dispose]();
    connection.rest(true);
    this.#resting = { connection, since: performance.now() };
  }
}

function hasNoBody({ status }: ResponseHead, method: string): boolean {
  return method === 'HEAD' || status === 204 || status === 304;
}

function isChunked(head: ResponseHead): boolean {
  return head.headers.get('transfer-encoding')?.toLowerCase() === 'chunked';
}

/** Its end is known without the connection's. */
function isBounded(head: ResponseHead, method: string): boolean {
  return hasNoBody(head, method) || isChunked(head) || head.headers.has('content-length');
}

async function readBody(connection: RawConnection, head: ResponseHead, method: string): Promise<string> {
  if (hasNoBody(head, method)) return '';
  const input = new Input(connection);
  if (isChunked(head)) return readChunks(input);
  const length = head.headers.get('content-length');
  if (length === undefined) return (await input.rest()).toString();
  return (await input.take(Number(length))).toString();
}

async function readChunks(input: Input): Promise<string> {
  const parts: Buffer[] = [];
  for (;;) {
    const line = await input.line();
    const size = Number.parseInt(line, 16);
    if (!/^[0-9a-f]+/i.test(line) || !Number.isSafeInteger(size)) throw new ApiError(500, 'malformed chunked encoding');
    if (size === 0) break;
    parts.push(await input.take(size));
    await input.line();
  }
  // Trailers, and the empty line.
  while ((await input.line()) !== '');
  return Buffer.concat(parts).toString();
}

/** A connection by lengths and lines. */
class Input {
  readonly #connection: RawConnection;

  constructor(connection: RawConnection) {
    this.#connection = connection;
  }

  async take(length: number): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    let missing = length;
    while (missing > 0) {
      const chunk = await this.#connection.next();
      if (chunk === undefined) throw new ApiError(500, 'unexpected EOF');
      parts.push(chunk.subarray(0, missing));
      this.#connection.unread(chunk.subarray(missing));
      missing -= Math.min(missing, chunk.length);
    }
    return Buffer.concat(parts);
  }

  /** Without its end. */
  async line(): Promise<string> {
    let text = '';
    for (;;) {
      const chunk = await this.#connection.next();
      if (chunk === undefined) throw new ApiError(500, 'unexpected EOF');
      const end = chunk.indexOf(0x0a);
      text += Buffer.from(chunk.subarray(0, end < 0 ? chunk.length : end)).toString('latin1');
      if (text.length > CHUNK_LINE_BYTES_MAX) throw new ApiError(500, 'malformed chunked encoding');
      if (end < 0) continue;
      this.#connection.unread(chunk.subarray(end + 1));
      return text.replace(/\r$/, '');
    }
  }

  async rest(): Promise<Buffer> {
    const parts: Uint8Array[] = [];
    for (;;) {
      const chunk = await this.#connection.next();
      if (chunk === undefined) return Buffer.concat(parts);
      parts.push(chunk);
    }
  }
}
