/**
 * node's net and tls sockets as transports: for sockets inherited from systemd (Bun.listen takes no descriptor) and
 * for TLS. `write` of node's streams always takes everything, so fullness is what its buffer says; a TLS socket has no
 * descriptor that bytes could be written to.
 */
import net from 'node:net';
import tls from 'node:tls';
import { log } from '#pkg/log/log.ts';
import { KEEP_ALIVE_MS, type Listening, type ListenOptions } from './bun-transport.ts';
import type { Accept, PeerCertificate, PeerFacts, Transport } from './transport.ts';

class NetTransport implements Transport {
  readonly #socket: net.Socket;
  readonly peer: PeerFacts;
  readonly fd: number;
  #gone = false;
  #full = false;

  constructor(socket: net.Socket, peer: PeerFacts, fd: number) {
    this.#socket = socket;
    this.peer = peer;
    this.fd = fd;
    socket.on('drain', () => {
      this.#full = false;
    });
    socket.on('close', () => {
      this.#gone = true;
    });
  }

  write(bytes: Uint8Array): number {
    if (this.#gone) return bytes.length;
    if (this.#full) return 0;
    // A copy: the stream keeps what the socket does not take, and the caller goes on using its bytes.
    this.#full = !this.#socket.write(Buffer.from(bytes));
    return bytes.length;
  }

  settled(): Promise<void> {
    if (this.#gone || this.#socket.writableLength === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#socket.write('', () => resolve());
      this.#socket.once('close', () => resolve());
    });
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  shutdown(): void {
    if (!this.#gone) this.#socket.end();
  }

  close(): void {
    if (this.#gone) return;
    this.#socket.end();
    this.#socket.destroySoon();
  }

  terminate(): void {
    this.#gone = true;
    this.#socket.destroy();
  }
}

/** Bun's net sockets carry the descriptor in their handle; undefined elsewhere. */
function descriptorOf(socket: net.Socket): number {
  if (socket instanceof tls.TLSSocket) return -1;
  const handle: unknown = Reflect.get(socket, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  return typeof fd === 'number' ? fd : -1;
}

function connect(socket: net.Socket, accept: Accept, peerOf: (fd: number) => PeerFacts): void {
  if (remoteOf(socket) !== '') {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
  }
  const fd = descriptorOf(socket);
  const sink = accept(new NetTransport(socket, peerOf(fd), fd));
  socket.on('data', (bytes: Buffer) => sink.data(bytes));
  socket.on('end', () => sink.end());
  socket.on('drain', () => sink.drain());
  socket.on('close', () => sink.closed());
  socket.on('error', (error) => log.debug('connection broke', { err: error }));
}

function remoteOf(socket: net.Socket): string {
  return socket.remoteAddress === undefined ? '' : `${socket.remoteAddress}:${socket.remotePort ?? 0}`;
}

/** A listening socket that systemd made (unix or tcp). */
export async function listenInherited(listenFd: number, options: ListenOptions): Promise<Listening> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const remote = remoteOf(socket);
    connect(socket, options.accept, (fd) =>
      remote === '' ? { ...options.peerCredentials(fd), remote } : { remote, plainTcp: true },
    );
  });
  await listening(server, (done) => server.listen({ fd: listenFd }, done));
  return { address: `fd://${listenFd}`, stop: () => void server.close() };
}

export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** With it clients must show a certificate that it signed. */
  readonly clientCa: Buffer | undefined;
}

export async function listenTls(
  hostname: string,
  port: number,
  files: TlsFiles,
  options: ListenOptions,
): Promise<Listening> {
  const server = tls.createServer(
    {
      cert: files.cert,
      key: files.key,
      minVersion: 'TLSv1.2',
      allowHalfOpen: true,
      ...(files.clientCa === undefined ? {} : { ca: files.clientCa, requestCert: true, rejectUnauthorized: true }),
    },
    (socket) => {
      const facts = { remote: remoteOf(socket), certificate: () => certificateOf(socket) };
      connect(socket, options.accept, () => facts);
    },
  );
  server.on('tlsClientError', (error: Error) => log.debug('TLS handshake failed', { err: error }));
  await listening(server, (done) => server.listen(port, hostname, done));
  const address = server.address();
  const actual = typeof address === 'object' && address !== null ? address.port : port;
  return { address: `tcp://${hostname}:${actual}`, stop: () => void server.close() };
}

const CHAIN_MAX = 16;

/** Nothing for a client that showed none. */
function certificateOf(socket: tls.TLSSocket): PeerCertificate | undefined {
  const first = socket.getPeerCertificate(true);
  if (!Buffer.isBuffer(first?.raw)) return undefined;
  const chain: string[] = [];
  const seen = new Set<string>();
  // The last one's issuer is itself.
  for (let one = first; one?.raw !== undefined && chain.length < CHAIN_MAX; one = one.issuerCertificate) {
    const lines = one.raw.toString('base64').match(/.{1,64}/g) ?? [];
    const pem = `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
    if (seen.has(pem)) break;
    seen.add(pem);
    chain.push(pem);
  }
  const name: unknown = first.subject?.CN;
  return { commonName: typeof name === 'string' ? name : '', chain };
}

function listening(server: net.Server, start: (done: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    start(() => {
      server.off('error', reject);
      resolve();
    });
  });
}
