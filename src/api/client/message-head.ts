/** HTTP/1.1 heads, as this client writes and reads them by itself: for hijacked requests and for short ones (wire.ts). */
import { invalidParameter } from '#errdefs/errors.ts';
import { ApiError } from './api-error.ts';
import type { RawConnection } from './raw-connection.ts';

const HEAD_BYTES_MAX = 64 * 1024;

export interface ResponseHead {
  readonly status: number;
  /** The status line's version is 1.1 or later: the connection stays unless a header says otherwise. */
  readonly persistent: boolean;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface RequestHead {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  /** undefined: no body. */
  readonly body: string | undefined;
  /** Further lines. */
  readonly extra?: readonly string[];
}

const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;
/** But for the tab. */
const CONTROL = /[\0-\x08\n-\x1f\x7f]/;

export function encodeRequest(request: RequestHead): Uint8Array {
  const body = request.body === undefined ? undefined : Buffer.from(request.body);
  let head = `${request.method} ${request.target} HTTP/1.1\r\nHost: docker\r\n`;
  for (const [name, value] of Object.entries(request.headers)) {
    // They come from a configuration file as well: one that ends its line would be two.
    if (!TOKEN.test(name) || CONTROL.test(value)) throw invalidParameter(`Header '${name}' has invalid value`);
    head += `${name}: ${value}\r\n`;
  }
  for (const line of request.extra ?? []) head += `${line}\r\n`;
  if (body !== undefined) head += `Content-Length: ${body.length}\r\n`;
  head += '\r\n';
  return body === undefined || body.length === 0 ? Buffer.from(head) : Buffer.concat([Buffer.from(head), body]);
}

/** The next head; what came behind it stays with the connection. Heads that only say "go on" are skipped. */
export async function readHead(connection: RawConnection): Promise<ResponseHead> {
  for (;;) {
    const head = await readOneHead(connection);
    if (head.status >= 200 || head.status === 101) return head;
  }
}

async function readOneHead(connection: RawConnection): Promise<ResponseHead> {
  let bytes = Buffer.alloc(0);
  let end = -1;
  while (end < 0) {
    const chunk = await connection.next();
    if (chunk === undefined) throw new ApiError(500, 'unexpected EOF');
    bytes = bytes.length === 0 ? asBuffer(chunk) : Buffer.concat([bytes, chunk]);
    end = bytes.indexOf('\r\n\r\n');
    if (end < 0 && bytes.length > HEAD_BYTES_MAX) throw new ApiError(500, 'the answer has no head');
  }
  connection.unread(bytes.subarray(end + 4));
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const status = Number(statusLine.split(' ')[1]);
  if (!statusLine.startsWith('HTTP/') || !Number.isInteger(status)) {
    throw new ApiError(500, `malformed HTTP response "${statusLine.slice(0, 100)}"`);
  }
  return { status, persistent: !statusLine.startsWith('HTTP/1.0'), headers: new Map(lines.map(headerOf)) };
}

function asBuffer(bytes: Uint8Array): Buffer<ArrayBuffer> {
  // as: what a socket yields is never shared memory.
  return Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length);
}

function headerOf(line: string): readonly [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
