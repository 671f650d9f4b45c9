/**
 * Ways to another program: a stream (TCP, TLS, unix), UDP datagrams, unix datagrams. Each connects when it first sends and
 * again after a failure; `send` resolves when the kernel, or where the protocol has answers the remote, has taken all of
 * the messages, and fails when it may not have. Nothing is kept here that was not asked for: what is not sent lies in the
 * log's files.
 */
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { close, memfdCreate, writeAll, fcntl, setNonBlocking } from '#sys/files.ts';
import { isErrno } from '#sys/errno.ts';
import { F, MFD, SOCKET } from '#sys/numbers.ts';
import { send, sendmsg, setsockopt, unixConnect } from '#sys/sockets.ts';
import { unavailable } from '#errdefs/errors.ts';
import { type Endpoint, endpointText, type TlsFiles } from '../endpoint.ts';

export interface Message {
  readonly bytes: Uint8Array;
  /** What the remote is to answer. */
  readonly chunk?: string | undefined;
}

export interface Sender extends Disposable {
  send(messages: readonly Message[]): Promise<void>;
}

const CONNECT_LIMIT_MS = 10_000;
const ACK_LIMIT_MS = 60_000;
const FULL_WAIT_MS = 2;
const FULL_WAIT_MS_MAX = 200;
const SEND_BUFFER_BYTES = 8 << 20;

type ReadAcks = (bytes: Buffer) => { readonly acks: readonly string[]; readonly consumed: number };

interface StreamOptions {
  readonly readAcks?: ReadAcks | undefined;
  /** 0: the usual limit of an answer. */
  readonly readLimitMs?: number;
  /** 0: a remote that takes nothing is waited for. */
  readonly writeLimitMs?: number;
}

/** tcp, tcp+tls, unix. */
export class StreamSender implements Sender {
  readonly #endpoint: Exclude<Endpoint, { kind: 'udp' | 'unixgram' }>;
  readonly #readAcks: ReadAcks | undefined;
  readonly #readLimitMs: number;
  readonly #writeLimitMs: number;
  #socket: Socket | undefined;
  /** Settles a send that waits, with why the connection has ended. */
  #broken: ((error: Error) => void) | undefined;
  #answered: (() => void) | undefined;
  #answers = Buffer.alloc(0);
  readonly #missing = new Set<string>();

  constructor(endpoint: Exclude<Endpoint, { kind: 'udp' | 'unixgram' }>, options: StreamOptions = {}) {
    this.#endpoint = endpoint;
    this.#readAcks = options.readAcks;
    this.#readLimitMs = options.readLimitMs ?? 0;
    this.#writeLimitMs = options.writeLimitMs ?? 0;
  }

  async send(messages: readonly Message[]): Promise<void> {
    const socket = this.#socket ?? (await this.#connect());
    const broken = Promise.withResolvers<never>();
    broken.promise.catch(() => {});
    this.#broken = broken.reject;
    try {
      for (const { chunk } of messages) if (chunk !== undefined) this.#missing.add(chunk);
      const taken = Promise.withResolvers<void>();
      if (socket.write(Buffer.concat(messages.map((message) => message.bytes)))) taken.resolve();
      else socket.once('drain', taken.resolve);
      await within(this.#writeLimitMs, Promise.race([taken.promise, broken.promise]), 'write: i/o timeout');
      if (this.#missing.size > 0) await Promise.race([this.#allAnswered(), broken.promise]);
    } catch (error) {
      this.#end();
      throw error;
    } finally {
      this.#broken = undefined;
    }
  }

  async #allAnswered(): Promise<void> {
    const answered = Promise.withResolvers<void>();
    this.#answered = answered.resolve;
    const limitMs = this.#readLimitMs === 0 ? ACK_LIMIT_MS : this.#readLimitMs;
    try {
      await within(limitMs, answered.promise, 'the remote does not answer');
    } finally {
      this.#answered = undefined;
    }
  }

  async #connect(): Promise<Socket> {
    const connected = Promise.withResolvers<void>();
    const socket = this.#open(connected.resolve);
    const limit = setTimeout(() => connected.reject(unavailable('i/o timeout')), CONNECT_LIMIT_MS);
    const lost = (error?: Error) => {
      const why = error ?? unavailable('the remote has closed the connection');
      connected.reject(why);
      this.#broken?.(why);
      if (this.#socket === socket) this.#end();
    };
    socket.on('error', lost);
    socket.on('close', () => lost());
    socket.on('end', () => lost());
    socket.on('data', (bytes: Buffer) => this.#take(bytes));
    try {
      await connected.promise;
    } catch (error) {
      socket.destroy();
      throw unavailable(
        `dial ${endpointText(this.#endpoint)}: ${error instanceof Error ? error.message : String(error)}`,
        {
          cause: error,
        },
      );
    } finally {
      clearTimeout(limit);
    }
    this.#socket = socket;
    return socket;
  }

  #open(connected: () => void): Socket {
    const endpoint = this.#endpoint;
    if (endpoint.kind === 'unix') return connectTcp({ path: endpoint.path }, connected);
    const { host, port } = endpoint;
    if (endpoint.tls === undefined) return connectTcp({ host, port }, connected);
    // A name is checked against the certificate; an address as well, where it has one.
    const name = isIP(host) === 0 ? { servername: host } : {};
    return connectTls({ host, port, ...name, ...tlsOptions(endpoint.tls) }, connected);
  }

  #take(bytes: Buffer): void {
    if (this.#readAcks === undefined) return;
    this.#answers = Buffer.concat([this.#answers, bytes]);
    const { acks, consumed } = this.#readAcks(this.#answers);
    this.#answers = this.#answers.subarray(consumed);
    for (const ack of acks) this.#missing.delete(ack);
    if (this.#missing.size === 0) this.#answered?.();
  }

  #end(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#answers = Buffer.alloc(0);
    this.#missing.clear();
  }

  [Symbol.dispose](): void {
    // What the kernel has taken is still sent.
    this.#socket?.end();
    this.#socket = undefined;
  }
}

/** Errors: unavailable with `words` when it takes longer; 0 is no limit. */
async function within(limitMs: number, promise: Promise<void>, words: string): Promise<void> {
  if (limitMs === 0) return promise;
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(unavailable(words)), limitMs);
  try {
    await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Read at each connection: certificates are renewed. */
function tlsOptions(files: TlsFiles): object {
  const read = (path: string) => (path === '' ? undefined : readFileSync(path));
  return {
    ca: read(files.ca),
    cert: read(files.cert),
    key: read(files.key),
    rejectUnauthorized: !files.skipVerify,
  };
}

/** UDP; a message may be several datagrams. That nobody listens is not an error, as everywhere with UDP. */
export class UdpSender implements Sender {
  readonly #endpoint: Extract<Endpoint, { kind: 'udp' }>;
  readonly #split: (message: Uint8Array) => readonly Uint8Array[];
  #socket: Bun.udp.Socket<'buffer'> | undefined;
  #address = '';
  #drained: (() => void) | undefined;

  constructor(endpoint: Extract<Endpoint, { kind: 'udp' }>, split: (message: Uint8Array) => readonly Uint8Array[]) {
    this.#endpoint = endpoint;
    this.#split = split;
  }

  async send(messages: readonly Message[]): Promise<void> {
    const socket = this.#socket ?? (await this.#open());
    for (const { bytes } of messages) {
      for (const datagram of this.#split(bytes)) {
        while (!socket.send(datagram, this.#endpoint.port, this.#address)) await this.#room();
      }
    }
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained = resolve;
    });
  }

  async #open(): Promise<Bun.udp.Socket<'buffer'>> {
    const { host } = this.#endpoint;
    // Asked anew for each connection only, as dockerd.
    this.#address = isIP(host) === 0 ? (await lookup(host)).address : host;
    const hostname = isIP(this.#address) === 6 ? '::' : '0.0.0.0';
    this.#socket = await Bun.udpSocket({
      hostname,
      socket: {
        drain: () => this.#drained?.(),
        error: () => {},
      },
    });
    return this.#socket;
  }

  [Symbol.dispose](): void {
    this.#socket?.close();
    this.#socket = undefined;
  }
}

/** A unix datagram socket: the local syslog daemon, the journal. */
export class UnixDatagramSender implements Sender {
  readonly #path: string;
  /** What is too long for a datagram is sent as a sealed file in memory, which the journal takes. */
  readonly #filesToo: boolean;
  #fd = -1;

  constructor(path: string, filesToo: boolean) {
    this.#path = path;
    this.#filesToo = filesToo;
  }

  async send(messages: readonly Message[]): Promise<void> {
    if (this.#fd < 0) this.#connect();
    try {
      for (const { bytes } of messages) await this.#sendOne(bytes);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #connect(): void {
    const fd = unixConnect(this.#path, SOCKET.DGRAM);
    setNonBlocking(fd);
    setsockopt(fd, SOCKET.SOL_SOCKET, SOCKET.SO_SNDBUF, SEND_BUFFER_BYTES);
    this.#fd = fd;
  }

  async #sendOne(bytes: Uint8Array): Promise<void> {
    for (let wait = FULL_WAIT_MS; ; wait = Math.min(2 * wait, FULL_WAIT_MS_MAX)) {
      if (this.#try(bytes)) return;
      // The receiver's queue is full; nothing tells a thread outside of epoll when it is not.
      await Bun.sleep(wait);
    }
  }

  #try(bytes: Uint8Array): boolean {
    try {
      return send(this.#fd, bytes) !== undefined;
    } catch (error) {
      if (!this.#filesToo || !(isErrno(error, 'EMSGSIZE') || isErrno(error, 'ENOBUFS'))) throw error;
      return this.#sendFile(bytes);
    }
  }

  #sendFile(bytes: Uint8Array): boolean {
    const file = memfdCreate('journal-message', MFD.CLOEXEC | MFD.ALLOW_SEALING);
    try {
      writeAll(file, bytes);
      fcntl(file, F.ADD_SEALS, F.SEAL_SEAL | F.SEAL_SHRINK | F.SEAL_GROW | F.SEAL_WRITE);
      return sendmsg(this.#fd, new Uint8Array(0), [file]) !== undefined;
    } finally {
      close(file);
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) close(this.#fd);
    this.#fd = -1;
  }
}
