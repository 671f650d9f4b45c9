/**
 * A request whose connection becomes a raw two-way stream (attach, exec start). fetch cannot give up its socket, so the
 * head is written and read here. Half-close works in both directions: the process's input may end while its output
 * goes on.
 */
import { ApiError, messageOfBody } from './api-error.ts';
import type { ReachableAddress } from './address.ts';
import { encodeRequest, readHead, type ResponseHead } from './message-head.ts';
import { RawConnection } from './raw-connection.ts';

export interface HijackRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

const REFUSAL_BYTES_MAX = 64 * 1024;

export class HijackedConnection {
  /** Media type of the answer: tells multiplexed from raw, when the daemon says so (dockerd ≥ 23). */
  readonly mediaType: string;
  readonly #connection: RawConnection;

  constructor(connection: RawConnection, mediaType: string) {
    this.#connection = connection;
    this.mediaType = mediaType;
  }

  static async open(address: ReachableAddress, request: HijackRequest): Promise<HijackedConnection> {
    const connection = await RawConnection.open(address);
    try {
      const { path: target, headers, body } = request;
      const extra = ['Connection: Upgrade', 'Upgrade: tcp'];
      await connection.write(encodeRequest({ method: 'POST', target, headers, body, extra }));
      const head = await readHead(connection);
      if (head.status !== 101 && head.status !== 200) throw await refusal(connection, head, target);
      return new HijackedConnection(connection, head.headers.get('content-type') ?? '');
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  /** What the daemon sends, until its end. One reader. */
  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    for (let chunk = await this.#connection.next(); chunk !== undefined; chunk = await this.#connection.next()) {
      yield chunk;
    }
  }

  /** Resolves when the bytes are with the kernel. After the connection has ended it does nothing. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#connection.write(bytes);
  }

  /** Ends our direction; the daemon's goes on. */
  closeWrite(): void {
    this.#connection.closeWrite();
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}

/** The body of a refusal is short; chunked ones are found between their braces. */
async function refusal(connection: RawConnection, head: ResponseHead, path: string): Promise<ApiError> {
  const length = Number(head.headers.get('content-length') ?? -1);
  const decoder = new TextDecoder();
  let body: Uint8Array = new Uint8Array(0);
  while (length < 0 ? !decoder.decode(body).includes('\r\n0\r\n') : body.length < length) {
    const chunk = await connection.next();
    if (chunk === undefined || body.length > REFUSAL_BYTES_MAX) break;
    body = Buffer.concat([body, chunk]);
  }
  const text = decoder.decode(body);
  const said = length < 0 ? text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1) : text;
  return new ApiError(head.status, messageOfBody(head.status, path, said));
}
