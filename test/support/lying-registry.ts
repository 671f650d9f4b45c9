/**
 * A registry that does as a test tells it: every answer can be changed down to its bytes, cut off anywhere, held back,
 * or sent elsewhere. On loopback, plain HTTP, one request a connection.
 */
import { createHash } from 'node:crypto';
import * as net from 'node:net';

export interface Asked {
  readonly method: string;
  readonly path: string;
  /** In lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** How often this method and path were asked for before. */
  readonly before: number;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

/** What goes over the wire instead: bytes, then the end; `endless`: the last piece again and again. */
export interface Raw {
  readonly bytes: Uint8Array;
  readonly endless?: Uint8Array;
  /** The connection stays open and silent. */
  readonly hang?: boolean;
}

export type Lie = (asked: Asked, truth: Answer) => Answer | Raw;

export const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export class LyingRegistry implements AsyncDisposable {
  readonly blobs = new Map<string, Uint8Array>();
  /** By tag and by digest. */
  readonly manifests = new Map<string, { readonly bytes: Uint8Array; readonly type: string }>();
  readonly asked: Asked[] = [];
  lie: Lie = (_, truth) => truth;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor() {
    this.#server = net.createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
      let head = '';
      socket.on('data', (bytes: Buffer) => {
        // A TLS hello: there is none here.
        if (head === '' && bytes[0] === 0x16) {
          socket.destroy();
          return;
        }
        const had = head.includes('\r\n\r\n');
        head += bytes.toString('latin1');
        if (!had && head.includes('\r\n\r\n')) this.#serve(socket, head);
      });
    });
  }

  static async start(): Promise<LyingRegistry> {
    const registry = new LyingRegistry();
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve));
    return registry;
  }

  get host(): string {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? `127.0.0.1:${address.port}` : '';
  }

  add(bytes: Uint8Array): { digest: string; size: number } {
    const digest = digestOf(bytes);
    this.blobs.set(digest, bytes);
    return { digest, size: bytes.length };
  }

  /** A manifest of Docker's schema 2, under a tag too. */
  image(tag: string, config: Uint8Array, layers: readonly Uint8Array[]): string {
    const type = 'application/vnd.docker.distribution.manifest.v2+json';
    const layerType = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
    return this.manifest(tag, type, {
      schemaVersion: 2,
      mediaType: type,
      config: { mediaType: 'application/vnd.docker.container.image.v1+json', ...this.add(config) },
      layers: layers.map((layer) => ({ mediaType: layerType, ...this.add(layer) })),
    });
  }

  manifest(tag: string, type: string, document: unknown): string {
    const bytes = Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
    const digest = digestOf(bytes);
    for (const name of [tag, digest]) this.manifests.set(name, { bytes, type });
    return digest;
  }

  /** How often something was asked for. */
  count(part: string): number {
    return this.asked.filter(({ method, path }) => `${method} ${path}`.includes(part)).length;
  }

  #truth(method: string, path: string): Answer {
    if (path === '/v2/') return { status: 200, body: Buffer.from('{}') };
    const manifest = /^\/v2\/[^?]+\/manifests\/([^?/]+)$/.exec(path)?.[1];
    const found = manifest === undefined ? undefined : this.manifests.get(manifest);
    if (found !== undefined) {
      const headers = { 'Content-Type': found.type, 'Docker-Content-Digest': digestOf(found.bytes) };
      return { status: 200, headers, body: found.bytes };
    }
    const blob = this.blobs.get(/\/blobs\/(sha256:[0-9a-f]{64})$/.exec(path)?.[1] ?? '');
    if (blob !== undefined) return { status: 200, headers: { 'Content-Type': 'application/octet-stream' }, body: blob };
    const code = manifest === undefined ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN';
    const body = Buffer.from(JSON.stringify({ errors: [{ code, message: `${method} ${path}` }] }));
    return { status: 404, headers: { 'Content-Type': 'application/json' }, body };
  }

  #serve(socket: net.Socket, head: string): void {
    const [line = '', ...rest] = head.split('\r\n');
    const [method = '', path = ''] = line.split(' ');
    const headers = new Map(
      rest
        .filter((l) => l.includes(':'))
        .map((l) => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 1).trim()]),
    );
    const before = this.asked.filter((a) => a.method === method && a.path === path).length;
    const asked = { method, path, headers, before };
    this.asked.push(asked);
    const answer = this.lie(asked, this.#truth(method, path));
    if (!('bytes' in answer)) {
      socket.end(wire(asked, answer));
      return;
    }
    socket.write(answer.bytes);
    if (answer.hang === true) return;
    const { endless } = answer;
    if (endless === undefined) {
      // Broken off, not ended.
      socket.end(() => socket.destroy());
      return;
    }
    const more = (): void => {
      while (!socket.destroyed && socket.write(endless));
    };
    socket.on('drain', more);
    more();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** An answer as it goes over the wire; ranges are cut out of a body of 200. */
export function wire(asked: Asked, answer: Answer): Buffer {
  let { status, body = new Uint8Array() } = answer;
  const headers: Record<string, string> = { Connection: 'close', ...answer.headers };
  const range = /^bytes=([0-9]+)-([0-9]*)$/.exec(asked.headers.get('range') ?? '');
  if (range !== null && status === 200) {
    const start = Number(range[1]);
    const end = range[2] === '' ? body.length : Math.min(body.length, Number(range[2]) + 1);
    headers['Content-Range'] = `bytes ${start}-${end - 1}/${body.length}`;
    body = body.subarray(start, end);
    status = 206;
  }
  headers['Content-Length'] ??= String(body.length);
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  const text = `HTTP/1.1 ${status} Status\r\n${head.join('')}\r\n`;
  return Buffer.concat([Buffer.from(text, 'latin1'), asked.method === 'HEAD' ? new Uint8Array() : body]);
}
