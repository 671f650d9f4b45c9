/**
 * A WebSocket as a job's connection: messages from the client are its input, output goes out as one message a piece. The
 * stream of a container without a terminal comes in Docker's frames and leaves without them, as dockerd does it here.
 * It is read all the time, whether the job wants input or not: pings are answered and a close is seen.
 */
import { createHash } from 'node:crypto';
import type { Connection } from '#api/jobs/streams.ts';
import { log } from '#pkg/log/log.ts';
import { Demultiplexer } from '#pkg/stdcopy/stdcopy.ts';
import { ByteQueue } from './byte-queue.ts';
import { HttpError, type RequestHead } from './head.ts';
import type { HijackedConnection } from './hijacked-connection.ts';
import { CLOSE, closeFrame, FrameReader, OPCODE, serverFrame, WebSocketError } from './websocket-frames.ts';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const VERSION = '13';
const KEY = /^[A-Za-z0-9+/]{22}==$/;

const words = (text: string | undefined): string[] =>
  (text ?? '').split(',').flatMap((word) => (word.trim() === '' ? [] : [word.trim()]));

/** The answer that makes the connection a WebSocket. Errors: HttpError 400 for what is no request for one. */
export function acceptWebSocket({ headers, minor }: RequestHead): string {
  const has = (name: string, word: string): boolean =>
    words(headers.get(name)).some((one) => one.toLowerCase() === word);
  if (minor === 0 || !has('upgrade', 'websocket') || !has('connection', 'upgrade')) {
    throw new HttpError(400, 'not websocket protocol');
  }
  if (headers.get('sec-websocket-version') !== VERSION) throw new HttpError(400, 'missing or bad WebSocket Version');
  const key = headers.get('sec-websocket-key') ?? '';
  if (!KEY.test(key)) throw new HttpError(400, 'mismatch challenge/response');
  const protocols = words(headers.get('sec-websocket-protocol'));
  // As dockerd: one is taken whatever it is, of several it would not know which.
  if (protocols.length > 1) throw new HttpError(400, 'bad WebSocket Protocol');
  const accept = createHash('sha1')
    .update(key + GUID)
    .digest('base64');
  const protocol = protocols[0] === undefined ? '' : `Sec-WebSocket-Protocol: ${protocols[0]}\r\n`;
  return (
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Accept: ${accept}\r\n${protocol}\r\n`
  );
}

export class WebSocketConnection implements Connection {
  readonly #raw: HijackedConnection;
  readonly #opcode: number;
  readonly #gone = new AbortController();
  readonly input: ByteQueue;
  #demultiplexer: Demultiplexer | undefined;
  /** Settles when the job has taken enough of its input. */
  #room: Promise<void> = Promise.resolve();
  #makeRoom: () => void = () => undefined;
  #closing = false;

  /** `text`: messages of text, as API versions before 1.28 had them. */
  constructor(raw: HijackedConnection, options: { readonly text: boolean; readonly wantsInput: boolean }) {
    this.#raw = raw;
    this.#opcode = options.text ? OPCODE.text : OPCODE.binary;
    this.input = new ByteQueue({
      pause: () => {
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#room = promise;
        this.#makeRoom = resolve;
      },
      resume: () => this.#makeRoom(),
    });
    if (!options.wantsInput) this.input.discard();
    raw.closed.addEventListener('abort', () => this.#leave(), { once: true });
    if (raw.closed.aborted) this.#leave();
  }

  /** The client has closed, or has gone. */
  get closed(): AbortSignal {
    return this.#gone.signal;
  }

  accept(tty: boolean): void {
    if (this.#raw.accepted) return;
    if (!tty) this.#demultiplexer = new Demultiplexer((_, bytes) => this.#send(bytes));
    this.#raw.accept(tty);
    void this.#read();
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#closing) return;
    if (this.#demultiplexer === undefined) this.#send(bytes);
    else this.#demultiplexer.push(bytes);
    await this.#raw.write(new Uint8Array(0));
  }

  #send(bytes: Uint8Array): void {
    void this.#raw.write(serverFrame(this.#opcode, bytes));
  }

  /** Nobody else can write to it: what goes out has to be framed. */
  descriptor(): Promise<number> {
    return Promise.resolve(-1);
  }

  end(): void {
    this.#close(CLOSE.normal);
  }

  finish(): void {
    this.end();
    this.input.discard();
    this.#raw.finish();
  }

  #close(code: number): void {
    if (this.#closing || !this.#raw.accepted) return;
    this.#closing = true;
    void this.#raw.write(closeFrame(code));
    this.#raw.end();
  }

  async #read(): Promise<void> {
    const frames = new FrameReader({
      data: (bytes) => this.input.push(bytes),
      ping: (payload) => void this.#raw.write(serverFrame(OPCODE.pong, payload)),
      close: (code) => {
        this.#close(code === 0 ? CLOSE.normal : code);
        this.#leave();
      },
    });
    try {
      for await (const chunk of this.#raw.input) {
        frames.push(chunk);
        await this.#room;
      }
    } catch (error) {
      const code = error instanceof WebSocketError ? error.code : CLOSE.protocolError;
      log.debug('a WebSocket ends', { code, err: error });
      this.#close(code);
    }
    this.#leave();
  }

  #leave(): void {
    this.input.end();
    this.#makeRoom();
    if (!this.#gone.signal.aborted) this.#gone.abort(new Error('the client has gone'));
  }
}
