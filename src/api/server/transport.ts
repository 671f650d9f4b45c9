/**
 * What the HTTP server needs of a socket, so that it works the same over Bun.listen, node's net and tls sockets, and
 * memory in tests. Contract: the transport calls the sink from its own event loop turn only, never from inside a call
 * of the server; after `closed` it calls nothing more and every method does nothing.
 */

/** Who is at the other end; filled in by the listener. */
export interface PeerFacts {
  readonly uid?: number;
  readonly pid?: number;
  /** '127.0.0.1:4711', '' for unix sockets. */
  readonly remote: string;
  /** Came over TCP without TLS: it may be a web page in a browser of this host. */
  readonly plainTcp?: true;
  /** Of a client that came with one over TLS; read when somebody asks. */
  readonly certificate?: () => PeerCertificate | undefined;
}

export interface PeerCertificate {
  readonly commonName: string;
  /** PEM, the client's own first. */
  readonly chain: readonly string[];
}

export interface Transport {
  readonly peer: PeerFacts;
  /** The socket's descriptor for a writer on another thread; -1 where there is none (TLS, memory). */
  readonly fd: number;
  /** Takes a prefix of the bytes and returns its length; the rest is offered again after the sink's `drain`. */
  write(bytes: Uint8Array): number;
  /** Resolves when what was taken is with the kernel, so that somebody else may write to the descriptor. */
  settled(): Promise<void>;
  pause(): void;
  resume(): void;
  /** Ends our direction; what the peer sends still arrives. */
  shutdown(): void;
  /** Closes both directions; what was taken by `write` still goes out. */
  close(): void;
  /** Closes at once. */
  terminate(): void;
}

export interface TransportSink {
  /** The bytes are the sink's to keep. */
  data(bytes: Buffer): void;
  /** The peer ended its direction. */
  end(): void;
  /** There is room again after a short write. */
  drain(): void;
  closed(): void;
}

/** Makes the sink of a new connection. */
export type Accept = (transport: Transport) => TransportSink;
