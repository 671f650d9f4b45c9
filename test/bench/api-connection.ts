/**
 * One kept-alive connection to an engine's socket and requests in turn over it, with as little of our own between a
 * request and its answer as there can be.
 */
export interface ApiAnswer {
  readonly status: number;
  readonly body: Buffer;
}

export class ApiConnection implements Disposable {
  #socket: Bun.Socket | undefined;
  #got = Buffer.alloc(0);
  #settle: { resolve: (answer: ApiAnswer) => void; reject: (error: unknown) => void } | undefined;

  static async open(unix: string): Promise<ApiConnection> {
    const connection = new ApiConnection();
    connection.#socket = await Bun.connect({
      unix,
      socket: {
        data: (_, bytes) => connection.#receive(bytes),
        close: () => connection.#settle?.reject(new Error('the engine closed the connection')),
        error: (_, error) => connection.#settle?.reject(error),
      },
    });
    return connection;
  }

  request(method: string, target: string, json?: unknown): Promise<ApiAnswer> {
    const body = json === undefined ? '' : JSON.stringify(json);
    const type = json === undefined ? '' : 'Content-Type: application/json\r\n';
    const length = Buffer.byteLength(body);
    const text = `${method} ${target} HTTP/1.1\r\nHost: bench\r\n${type}Content-Length: ${length}\r\n\r\n${body}`;
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#socket?.write(text);
    });
  }

  /** As `request`; errors for any status from 400. */
  async ask(method: string, target: string, json?: unknown): Promise<ApiAnswer> {
    const answer = await this.request(method, target, json);
    if (answer.status >= 400) throw new Error(`${method} ${target}: ${answer.status} ${answer.body.toString()}`);
    return answer;
  }

  #receive(bytes: Buffer): void {
    this.#got = this.#got.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#got, bytes]);
    const answer = wholeAnswer(this.#got);
    if (answer === undefined) return;
    this.#got = Buffer.alloc(0);
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.resolve(answer);
  }

  [Symbol.dispose](): void {
    this.#settle = undefined;
    this.#socket?.end();
  }
}

/** Once all of it is there; a body is known by its length or its last chunk. */
function wholeAnswer(bytes: Buffer): ApiAnswer | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const head = bytes.toString('latin1', 0, headEnd);
  const status = Number(head.split(' ')[1]);
  const rest = bytes.subarray(headEnd + 4);
  if (status === 204 || status === 304) return { status, body: rest };
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length !== undefined) return rest.length >= Number(length) ? { status, body: rest } : undefined;
  if (!rest.subarray(-5).equals(Buffer.from('0\r\n\r\n'))) return undefined;
  return { status, body: unchunked(rest) };
}

function unchunked(bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
    if (!(size > 0)) return Buffer.concat(parts);
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
}
