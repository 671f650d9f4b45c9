/**
 * Sockets of Bun.listen: they have a descriptor, so another thread can write to them. allowHalfOpen is what makes
 * half-close work; a full close of the peer comes as `end` followed by `close` in the same turn on unix sockets.
 */
import { log } from '#pkg/log/log.ts';
import type { Accept, PeerFacts, Transport, TransportSink } from './transport.ts';

interface SocketData {
  sink: TransportSink | undefined;
}

/** The type lacks `fd`, which each of these sockets has. */
type DescriptorSocket = Bun.Socket<SocketData> & { readonly fd?: number };

/** A peer that vanished without a word is noticed by probes. */
export const KEEP_ALIVE_MS = 30_000;

class BunTransport implements Transport {
  readonly #socket: DescriptorSocket;
  readonly peer: PeerFacts;
  readonly fd: number;
  #gone = false;

  constructor(socket: DescriptorSocket, peer: PeerFacts, fd: number) {
    this.#socket = socket;
    this.peer = peer;
    this.fd = fd;
  }

  markGone(): void {
    this.#gone = true;
  }

  write(bytes: Uint8Array): number {
    return this.#gone ? bytes.length : this.#socket.write(bytes);
  }

  /** What Bun's socket takes is written by then; it keeps nothing. */
  settled(): Promise<void> {
    return Promise.resolve();
  }

  pause(): void {
    if (!this.#gone) this.#socket.pause();
  }

  resume(): void {
    if (!this.#gone) this.#socket.resume();
  }

  shutdown(): void {
    if (!this.#gone) this.#socket.shutdown();
  }

  close(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#socket.end();
  }

  terminate(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#socket.terminate();
  }
}

export interface Listening {
  /** 'unix:///run/berth.sock', 'tcp://127.0.0.1:2375'. */
  readonly address: string;
  /** Accepts no more; what is connected stays. */
  stop(): void;
}

function handlers(accept: Accept, peerOf: (fd: number, remote: string) => PeerFacts): Bun.SocketHandler<SocketData> {
  return {
    open(socket) {
      const descriptor: DescriptorSocket = socket;
      const fd = descriptor.fd ?? -1;
      // remotePort is undefined on unix sockets, whatever its type says.
      const remote = socket.remoteAddress ? `${socket.remoteAddress}:${socket.remotePort}` : '';
      if (remote !== '') {
        socket.setNoDelay(true);
        socket.setKeepAlive(true, KEEP_ALIVE_MS);
      }
      const transport = new BunTransport(descriptor, peerOf(fd, remote), fd);
      const inner = accept(transport);
      socket.data = {
        sink: {
          data: (bytes) => inner.data(bytes),
          end: () => inner.end(),
          drain: () => inner.drain(),
          closed: () => {
            transport.markGone();
            inner.closed();
          },
        },
      };
    },
    data(socket, bytes) {
      socket.data.sink?.data(bytes);
    },
    end(socket) {
      socket.data.sink?.end();
    },
    drain(socket) {
      socket.data.sink?.drain();
    },
    close(socket) {
      socket.data.sink?.closed();
      socket.data.sink = undefined;
    },
    error(socket, error) {
      log.error('connection handler failed', { err: error });
      socket.data?.sink?.closed();
      socket.terminate();
    },
  };
}

export interface ListenOptions {
  readonly accept: Accept;
  /** Credentials of the process at the other end of a unix socket. */
  readonly peerCredentials: (fd: number) => { uid: number; pid: number } | undefined;
}

/** The path must be free; mode and group are the caller's business. */
export function listenUnix(path: string, options: ListenOptions): Listening {
  const peerOf = (fd: number): PeerFacts => ({ ...options.peerCredentials(fd), remote: '' });
  const listener = Bun.listen<SocketData>({
    unix: path,
    allowHalfOpen: true,
    socket: handlers(options.accept, peerOf),
    data: { sink: undefined },
  });
  return { address: `unix://${path}`, stop: () => listener.stop(false) };
}

export function listenTcp(hostname: string, port: number, options: ListenOptions): Listening {
  const listener = Bun.listen<SocketData>({
    hostname,
    port,
    exclusive: true,
    allowHalfOpen: true,
    socket: handlers(options.accept, (_, remote) => ({ remote, plainTcp: true })),
    data: { sink: undefined },
  });
  const host = hostname.includes(':') ? `[${hostname}]` : hostname;
  return { address: `tcp://${host}:${listener.port}`, stop: () => listener.stop(false) };
}
