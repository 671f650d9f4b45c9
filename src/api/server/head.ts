/**
 * Parses the head of a request (RFC 9112), strictly: whatever two parsers could read differently is refused, so that
 * nothing can be smuggled past a proxy in front of us (Transfer-Encoding with Content-Length, bare LF or CR, folded
 * lines, several lengths, a missing Host).
 */
import type { Framing } from '#pkg/http-body/body-decoder.ts';

/** The request cannot be understood: answered with `status`, then the connection ends. */
export class HttpError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'HttpError';
    this.status = status;
  }
}

export interface RequestHead {
  readonly method: string;
  /** Decoded, without the query. */
  readonly path: string;
  /** Path and query as they were sent. */
  readonly target: string;
  /** Undecoded, without the question mark. */
  readonly query: string;
  readonly minor: 0 | 1;
  /** By lower-case name; several of one name are joined by ', '. */
  readonly headers: ReadonlyMap<string, string>;
  readonly framing: Framing;
  readonly keepAlive: boolean;
  readonly expectContinue: boolean;
  /** Asked for a protocol upgrade (only hijacking routes care). */
  readonly upgrade: boolean;
}

export const HEAD_BYTES_MAX = 1024 * 1024;
const HEADERS_MAX = 10_000;

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^\s]+) HTTP\/1\.([01])$/;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// Controls but tab: CR, LF and NUL foremost.
const BAD_VALUE = /[\x00-\x08\x0a-\x1f\x7f]/;
const DIGITS = /^[0-9]{1,15}$/;
const NO_BODY: Framing = { kind: 'none' };
const CHUNKED: Framing = { kind: 'chunked' };

/** `text` is the head as latin1, without the empty line. */
export function parseHead(text: string): RequestHead {
  const lines = text.split('\r\n');
  const match = REQUEST_LINE.exec(lines[0] ?? '');
  if (match === null) throw badRequestLine(lines[0] ?? '');
  const [, method = '', target = '', minorText] = match;
  const minor = minorText === '1' ? 1 : 0;
  const headers = parseHeaders(lines);
  const host = headers.get('host');
  if (minor === 1 && host === undefined) throw new HttpError(400, 'missing required Host header');
  if (host !== undefined && /[\s,/?#@]/.test(host)) throw new HttpError(400, 'malformed Host header');
  const connection = headers.get('connection')?.toLowerCase() ?? '';
  const { path, query } = parseTarget(target);
  const options = connection === '' ? [] : connection.split(',').map((o) => o.trim());
  return {
    method,
    path,
    target,
    query,
    minor,
    headers,
    framing: framingOf(headers, minor),
    keepAlive: minor === 1 ? !options.includes('close') : options.includes('keep-alive'),
    expectContinue: minor === 1 && headers.get('expect')?.toLowerCase() === '100-continue',
    upgrade: headers.has('upgrade'),
  };
}

function badRequestLine(line: string): HttpError {
  if (/ HTTP\/[0-9.]+$/.test(line) && !/ HTTP\/1\.[01]$/.test(line)) {
    return new HttpError(505, 'unsupported protocol version');
  }
  return new HttpError(400, 'malformed HTTP request');
}

function parseHeaders(lines: readonly string[]): Map<string, string> {
  if (lines.length > HEADERS_MAX) throw new HttpError(431, 'too many header fields');
  const headers = new Map<string, string>();
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] ?? '';
    const colon = line.indexOf(':');
    const name = line.slice(0, colon);
    if (colon <= 0 || !HEADER_NAME.test(name)) throw new HttpError(400, 'malformed MIME header line');
    const value = line.slice(colon + 1).trim();
    if (BAD_VALUE.test(value)) throw new HttpError(400, 'invalid header field value');
    const key = name.toLowerCase();
    const before = headers.get(key);
    if (before !== undefined && (key === 'host' || key === 'transfer-encoding')) {
      throw new HttpError(400, `too many ${name} headers`);
    }
    if (before !== undefined && key === 'content-length') {
      if (before !== value) throw new HttpError(400, 'several Content-Length headers');
      continue;
    }
    headers.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return headers;
}

function framingOf(headers: ReadonlyMap<string, string>, minor: 0 | 1): Framing {
  const encoding = headers.get('transfer-encoding');
  const length = headers.get('content-length');
  if (encoding !== undefined) {
    if (length !== undefined) throw new HttpError(400, 'both Transfer-Encoding and Content-Length');
    if (minor === 0) throw new HttpError(400, 'Transfer-Encoding in an HTTP/1.0 request');
    if (encoding.toLowerCase() !== 'chunked') {
      throw new HttpError(501, `unsupported transfer encoding: "${encoding.slice(0, 100)}"`);
    }
    return CHUNKED;
  }
  if (length === undefined) return NO_BODY;
  if (!DIGITS.test(length)) throw new HttpError(400, `bad Content-Length "${length.slice(0, 100)}"`);
  const bytes = Number(length);
  return bytes === 0 ? NO_BODY : { kind: 'length', length: bytes };
}

function parseTarget(target: string): { path: string; query: string } {
  let rest = target;
  if (!rest.startsWith('/')) {
    if (rest === '*') return { path: '*', query: '' };
    const absolute = /^https?:\/\/[^/?#]*/i.exec(rest);
    if (absolute === null) throw new HttpError(400, 'malformed request target');
    rest = rest.slice(absolute[0].length);
    if (!rest.startsWith('/')) rest = `/${rest}`;
  }
  if (rest.includes('#')) throw new HttpError(400, 'malformed request target');
  const mark = rest.indexOf('?');
  const raw = mark < 0 ? rest : rest.slice(0, mark);
  return { path: decodePath(raw), query: mark < 0 ? '' : rest.slice(mark + 1) };
}

function decodePath(raw: string): string {
  if (/[^\x21-\x7e]/.test(raw)) {
    // Raw UTF-8 in a target (some clients do not escape): the latin1 text has its bytes.
    return decodePercent(Buffer.from(raw, 'latin1').toString('utf8'));
  }
  return raw.includes('%') ? decodePercent(raw) : raw;
}

function decodePercent(raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch {
    throw new HttpError(400, 'invalid URL escape');
  }
}
