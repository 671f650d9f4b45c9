/** A file from http(s), into a directory of ours, with its digest checked. */
import * as fs from 'node:fs';
import { invalidParameter, messageOf, unavailable } from '#errdefs/errors.ts';

/** Of one file. */
const BYTES_MAX = 16 * 2 ** 30;

export interface Downloaded {
  readonly digest: string;
  readonly bytes: number;
  /** Of the server's answer. */
  readonly contentType: string;
  /** '' where the server says none. */
  readonly fileName: string;
}

/** Errors: unavailable naming the address; invalid-parameter when it is not what `checksum` says. */
export async function download(
  address: string,
  file: string,
  options: {
    readonly checksum: string | undefined;
    readonly signal: AbortSignal;
    readonly tell: (bytes: number) => void;
  },
): Promise<Downloaded> {
  const response = await opened(address, options.signal);
  const hash = new Bun.CryptoHasher('sha256');
  let bytes = 0;
  const fd = fs.openSync(file, 'wx', 0o600);
  try {
    for await (const piece of bytesOf(response)) {
      hash.update(piece);
      for (let at = 0; at < piece.length; ) at += fs.writeSync(fd, piece, at);
      bytes += piece.length;
      if (bytes > BYTES_MAX) throw invalidParameter(`${address} is larger than ${BYTES_MAX} bytes`);
      options.tell(bytes);
    }
    fs.fchmodSync(fd, 0o600);
    const modified = Date.parse(response.headers.get('last-modified') ?? '');
    const time = Number.isNaN(modified) ? new Date(0) : new Date(modified);
    fs.futimesSync(fd, time, time);
  } finally {
    fs.closeSync(fd);
  }
  const digest = `sha256:${hash.digest('hex')}`;
  const { checksum } = options;
  if (checksum !== undefined && checksum !== digest) {
    throw invalidParameter(`digest mismatch for ${address}: expected ${checksum}, got ${digest}`);
  }
  const disposition = response.headers.get('content-disposition') ?? '';
  const fileName = /filename="?([^";/]+)"?/.exec(disposition)?.[1] ?? '';
  return { digest, bytes, contentType: response.headers.get('content-type') ?? '', fileName };
}

/** What an address has, as it comes. Errors: as `download`. */
export async function openRemote(address: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  return bytesOf(await opened(address, signal));
}

async function opened(address: string, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address, { signal, redirect: 'follow' });
  } catch (error) {
    signal.throwIfAborted();
    throw unavailable(`failed to load ${address}: ${reasonOf(error)}`, { cause: error });
  }
  if (!response.ok) throw invalidParameter(`failed to load ${address}: invalid response status ${response.status}`);
  return response;
}

const reasons: ReadonlyMap<unknown, string> = new Map([
  ['ECONNREFUSED', 'connection refused'],
  ['ConnectionRefused', 'connection refused'],
  ['ECONNRESET', 'the connection was reset'],
  ['ENOTFOUND', 'no such host'],
  ['ETIMEDOUT', 'the connection timed out'],
]);

/** The runtime's own texts are for those who write scripts of it. */
function reasonOf(error: unknown): string {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return reasons.get(code) ?? messageOf(error);
}

async function* bytesOf({ body }: Response): AsyncGenerator<Uint8Array> {
  const reader = body?.getReader();
  for (let next = await reader?.read(); next?.value !== undefined; next = await reader?.read()) yield next.value;
}
