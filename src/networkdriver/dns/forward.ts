/**
 * Questions that others answer: sent to all servers at once by UDP (TCP when the client came by TCP), the first good
 * answer wins. What is good for a while is kept for as long.
 */
import * as dgram from 'node:dgram';
import * as net from 'node:net';
import { RCODE, readAnswer, type Question } from './message.ts';

const LIMIT_MS = 4000;
const CACHE_MAX = 1000;
const CACHE_SECONDS_MAX = 300;
const IN_FLIGHT_MAX = 1024;
const SERVERS_MAX = 3;
const DNS_PORT = 53;

interface Kept {
  readonly answer: Uint8Array;
  readonly until: number;
}

export class Forwarder {
  readonly #cache = new Map<string, Kept>();
  #inFlight = 0;

  /** Undefined: nobody answered in time, or too many are asking. `tcp`: long answers are wanted whole. */
  async ask(
    query: Uint8Array,
    question: Question,
    servers: readonly string[],
    tcp: boolean,
  ): Promise<Uint8Array | undefined> {
    const key = `${servers.join(' ')} ${question.type} ${question.name} ${tcp}`;
    const kept = this.#cache.get(key);
    if (kept !== undefined && kept.until > performance.now()) return withId(kept.answer, question.id);
    if (servers.length === 0 || this.#inFlight >= IN_FLIGHT_MAX) return undefined;
    this.#inFlight++;
    try {
      const answer = await firstGood(servers.slice(0, SERVERS_MAX).map((server) => askOne(query, server, tcp)));
      if (answer !== undefined) this.#keep(key, answer);
      return answer;
    } finally {
      this.#inFlight--;
    }
  }

  #keep(key: string, answer: Uint8Array): void {
    const seconds = Math.min(readAnswer(answer)?.ttlSeconds ?? 0, CACHE_SECONDS_MAX);
    this.#cache.delete(key);
    if (seconds <= 0) return;
    const [oldest] = this.#cache.keys();
    if (this.#cache.size >= CACHE_MAX && oldest !== undefined) this.#cache.delete(oldest);
    this.#cache.set(key, { answer, until: performance.now() + 1000 * seconds });
  }
}

function withId(answer: Uint8Array, id: number): Uint8Array {
  const copy = answer.slice();
  new DataView(copy.buffer).setUint16(0, id);
  return copy;
}

/** The first that succeeds or denies the name; of failures the last one. */
async function firstGood(asked: readonly Promise<Uint8Array | undefined>[]): Promise<Uint8Array | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  let left = asked.length;
  for (const one of asked) {
    void one.then((answer) => {
      left -= 1;
      const code = answer === undefined ? undefined : readAnswer(answer)?.code;
      if (code === RCODE.ok || code === RCODE.nameError || left === 0) resolve(answer);
    });
  }
  return promise;
}

function askOne(query: Uint8Array, server: string, tcp: boolean): Promise<Uint8Array | undefined> {
  return tcp ? askByTcp(query, server) : askByUdp(query, server);
}

const idOf = (bytes: Uint8Array): number => ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);

/** A socket of its own for each question: its port is as hard to guess as the kernel makes it. */
function askByUdp(query: Uint8Array, server: string): Promise<Uint8Array | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  const socket = dgram.createSocket(server.includes(':') ? 'udp6' : 'udp4');
  const timer = setTimeout(() => resolve(undefined), LIMIT_MS);
  socket.on('error', () => resolve(undefined));
  socket.on('message', (bytes) => {
    if (idOf(bytes) === idOf(query) && readAnswer(bytes) !== undefined) resolve(new Uint8Array(bytes));
  });
  // Connected: answers of others do not come in. Where no way leads to the server, connecting or sending fails.
  socket.connect(DNS_PORT, server, () => {
    try {
      socket.send(query, (error) => {
        if (error !== null) resolve(undefined);
      });
    } catch {
      resolve(undefined);
    }
  });
  return promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}

function askByTcp(query: Uint8Array, server: string): Promise<Uint8Array | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  const socket = net.connect(DNS_PORT, server);
  const timer = setTimeout(() => resolve(undefined), LIMIT_MS);
  const reader = new TcpMessages((bytes) => resolve(bytes));
  socket.on('error', () => resolve(undefined));
  socket.on('close', () => resolve(undefined));
  socket.on('data', (bytes: Buffer) => reader.push(bytes));
  socket.on('connect', () => socket.write(framed(query)));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

/** A message on TCP has its length before it (RFC 1035, 4.2.2). */
export function framed(message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(2 + message.length);
  bytes[0] = message.length >> 8;
  bytes[1] = message.length & 255;
  bytes.set(message, 2);
  return bytes;
}

/** Cuts a stream into messages. */
export class TcpMessages {
  readonly #each: (message: Uint8Array) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(each: (message: Uint8Array) => void) {
    this.#each = each;
  }

  push(bytes: Uint8Array): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= 2) {
      const length = this.#rest.readUInt16BE(0);
      if (this.#rest.length < 2 + length) return;
      this.#each(new Uint8Array(this.#rest.subarray(2, 2 + length)));
      this.#rest = this.#rest.subarray(2 + length);
    }
  }
}
