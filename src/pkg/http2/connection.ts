/**
 * One end of an HTTP/2 connection over any two-way stream of bytes: `client` opens streams, `server` is given those
 * that the peer opens. No TLS, no push, no priorities: it is what gRPC needs. Node's own module stops at the first
 * window over a stream that is no socket, hence this one.
 */
import {
  bare,
  ConnectionError,
  errorCodes,
  flags,
  FRAME_BYTES_MAX,
  type Frame,
  FrameReader,
  frame,
  frameTypes,
  number32,
  PREFACE,
  settingIds,
  settingsPayload,
} from './frames.ts';
import { encodeHeaders, type HeaderField, HpackDecoder, HpackError } from './hpack.ts';
import { Http2Stream, StreamClosed, type StreamPort } from './stream.ts';

/** The bytes below. */
export interface ByteStream {
  readonly input: AsyncIterable<Uint8Array>;
  /** Settles when there is room again. */
  write(bytes: Uint8Array): Promise<void>;
  end(): void;
}

const DEFAULT_WINDOW = 65_535;
/** What a peer may send us unread: for one stream, and for all. */
const STREAM_WINDOW = 1024 * 1024;
const CONNECTION_WINDOW = 4 * 1024 * 1024;
const WINDOW_MAX = 0x7fff_ffff;
const STREAMS_MAX = 256;
const HEADER_BYTES_MAX = 256 * 1024;
/** Frames that cost the peer nothing and us an answer: more than this many unanswered ones are an attack. */
const CONTROL_FRAMES_MAX = 10_000;

export class Http2Connection {
  readonly #bytes: ByteStream;
  readonly #role: 'client' | 'server';
  readonly #onStream: ((stream: Http2Stream) => void) | undefined;
  readonly #reader: FrameReader;
  readonly #decoder = new HpackDecoder(HEADER_BYTES_MAX);
  readonly #streams = new Map<number, Http2Stream>();
  readonly #closed = new AbortController();
  readonly #port: StreamPort;
  #nextId: number;
  #lastPeerId = 0;
  #peerWindow = DEFAULT_WINDOW;
  #sendWindow = DEFAULT_WINDOW;
  #unacknowledged = 0;
  #receiveWindow = CONNECTION_WINDOW;
  #peerFrameBytes = FRAME_BYTES_MAX;
  #controlFrames = 0;
  #headerBlock: { readonly stream: number; readonly end: boolean; bytes: Uint8Array } | undefined;
  #waiters: (() => void)[] = [];

  /** `onStream` makes it a server. */
  constructor(bytes: ByteStream, onStream?: (stream: Http2Stream) => void) {
    this.#bytes = bytes;
    this.#role = onStream === undefined ? 'client' : 'server';
    this.#onStream = onStream;
    this.#reader = new FrameReader(this.#role === 'server');
    this.#nextId = this.#role === 'client' ? 1 : 2;
    this.#port = {
      sendHeaders: (stream, fields, end) => this.#sendHeaders(stream, fields, end),
      sendData: (stream, chunk, end) => this.#sendData(stream, chunk, end),
      sendReset: (stream, code) => this.#sendReset(stream, code),
      consumed: (stream, count) => this.#consumed(stream, count),
    };
  }

  /** Aborted when the connection has ended, whoever ended it. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Greets the peer and goes on until one of both ends it. Never throws. */
  async run(): Promise<void> {
    const settings = settingsPayload([
      [settingIds.enablePush, 0],
      [settingIds.concurrentStreams, STREAMS_MAX],
      [settingIds.window, STREAM_WINDOW],
      [settingIds.headerListSize, HEADER_BYTES_MAX],
    ]);
    let reason = 'the connection was closed';
    try {
      if (this.#role === 'client') await this.#bytes.write(PREFACE);
      await this.#bytes.write(
        frame(frameTypes.settings, 0, 0, this.#role === 'client' ? settings : settings.subarray(6)),
      );
      await this.#sendWindowUpdate(0, CONNECTION_WINDOW - DEFAULT_WINDOW);
      for await (const chunk of this.#bytes.input) {
        for (const one of this.#reader.push(chunk)) this.#receive(one);
        if (this.closed.aborted) break;
      }
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
      if (error instanceof ConnectionError) this.#goAway(error.code);
      else if (error instanceof HpackError) this.#goAway(errorCodes.compression);
    }
    this.close(reason);
  }

  /** Ends all streams and the connection. */
  close(reason = 'the connection was closed'): void {
    if (this.closed.aborted) return;
    this.#closed.abort();
    for (const stream of this.#streams.values()) stream.fail(new StreamClosed(errorCodes.cancel, reason));
    this.#streams.clear();
    this.#wake();
    this.#bytes.end();
  }

  /** Opens a stream. Throws StreamClosed when the connection has ended. */
  open(): Http2Stream {
    if (this.closed.aborted) throw new StreamClosed(errorCodes.cancel, 'the connection was closed');
    const stream = this.#add(this.#nextId);
    this.#nextId += 2;
    return stream;
  }

  #add(id: number): Http2Stream {
    const stream = new Http2Stream(id, this.#port, { send: this.#peerWindow, receive: STREAM_WINDOW });
    this.#streams.set(id, stream);
    return stream;
  }

  // ---- sending ----

  async #sendHeaders(stream: Http2Stream, fields: readonly HeaderField[], end: boolean): Promise<void> {
    const block = encodeHeaders(fields);
    const parts: Buffer[] = [];
    let at = 0;
    do {
      const part = block.subarray(at, at + this.#peerFrameBytes);
      const first = at === 0;
      at += part.length;
      const last = at >= block.length ? flags.endHeaders : 0;
      const type = first ? frameTypes.headers : frameTypes.continuation;
      parts.push(frame(type, last | (first && end ? flags.endStream : 0), stream.id, part));
    } while (at < block.length);
    // In one piece: nothing may come between the parts of a header block.
    const sent = this.#bytes.write(Buffer.concat(parts));
    if (end) this.#forgetComplete(stream);
    await sent;
  }

  async #sendData(stream: Http2Stream, chunk: Uint8Array, end: boolean): Promise<void> {
    let rest = chunk;
    while (rest.length > 0) {
      const room = Math.min(stream.sendWindow, this.#sendWindow, this.#peerFrameBytes, rest.length);
      if (!stream.open) throw new StreamClosed(errorCodes.cancel, 'the stream was closed');
      if (this.closed.aborted) throw new StreamClosed(errorCodes.cancel, 'the connection was closed');
      if (room <= 0) {
        await new Promise<void>((resolve) => this.#waiters.push(resolve));
        continue;
      }
      stream.sendWindow -= room;
      this.#sendWindow -= room;
      const last = end && room === rest.length;
      const part = rest.subarray(0, room);
      rest = rest.subarray(room);
      await this.#bytes.write(frame(frameTypes.data, last ? flags.endStream : 0, stream.id, part));
    }
    if (end && chunk.length === 0) await this.#bytes.write(frame(frameTypes.data, flags.endStream, stream.id, chunk));
    if (end) this.#forgetComplete(stream);
  }

  #sendReset(stream: Http2Stream, code: number): void {
    this.#streams.delete(stream.id);
    this.#send(frame(frameTypes.reset, 0, stream.id, number32(code)));
    this.#wake();
  }

  /** For frames whose way out nobody waits for; a connection that broke ends by its input. */
  #send(bytes: Uint8Array): void {
    if (!this.closed.aborted) this.#bytes.write(bytes).catch(() => {});
  }

  #goAway(code: number): void {
    this.#send(frame(frameTypes.goAway, 0, 0, Buffer.concat([number32(this.#lastPeerId), number32(code)])));
  }

  async #sendWindowUpdate(stream: number, count: number): Promise<void> {
    await this.#bytes.write(frame(frameTypes.window, 0, stream, number32(count)));
  }

  /** Windows are given back by the half, not by the chunk. */
  #consumed(stream: Http2Stream, count: number): void {
    stream.receiveWindow += count;
    if (this.#streams.has(stream.id)) {
      const owed = stream.unacknowledged + count;
      stream.unacknowledged = owed < STREAM_WINDOW / 2 ? owed : 0;
      if (owed >= STREAM_WINDOW / 2) this.#send(frame(frameTypes.window, 0, stream.id, number32(owed)));
    }
    this.#giveBack(count);
  }

  #giveBack(count: number): void {
    this.#receiveWindow += count;
    this.#unacknowledged += count;
    if (this.#unacknowledged < CONNECTION_WINDOW / 2) return;
    this.#send(frame(frameTypes.window, 0, 0, number32(this.#unacknowledged)));
    this.#unacknowledged = 0;
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }

  #forgetComplete(stream: Http2Stream): void {
    if (stream.complete) this.#streams.delete(stream.id);
  }

  // ---- receiving ----

  #receive(one: Frame): void {
    if (this.#headerBlock !== undefined && one.type !== frameTypes.continuation) {
      throw new ConnectionError(errorCodes.protocol, 'a frame within a header block');
    }
    switch (one.type) {
      case frameTypes.data:
        this.#receiveData(one);
        break;
      case frameTypes.headers:
        this.#headerBlock = { stream: one.stream, end: (one.flags & flags.endStream) !== 0, bytes: bare(one) };
        this.#receiveBlock(one);
        break;
      case frameTypes.continuation:
        this.#receiveContinuation(one);
        break;
      case frameTypes.reset: {
        const stream = this.#streams.get(one.stream);
        this.#streams.delete(one.stream);
        const code = Buffer.from(one.payload).readUInt32BE(0);
        stream?.fail(new StreamClosed(code, `the peer gave the stream up (${code})`));
        this.#control();
        this.#wake();
        break;
      }
      case frameTypes.settings:
        this.#receiveSettings(one);
        break;
      case frameTypes.ping:
        this.#control();
        if ((one.flags & flags.ack) === 0) this.#send(frame(frameTypes.ping, flags.ack, 0, one.payload));
        break;
      case frameTypes.window:
        this.#receiveWindowUpdate(one);
        break;
      case frameTypes.push:
        throw new ConnectionError(errorCodes.protocol, 'a push that was not allowed');
      default:
        // GOAWAY: its streams go on; the connection ends with its bytes. What is unknown is ignored.
        break;
    }
  }

  /** Counts frames that only make work; each piece of real work takes some back. */
  #control(): void {
    this.#controlFrames++;
    if (this.#controlFrames > CONTROL_FRAMES_MAX) {
      throw new ConnectionError(errorCodes.enhanceYourCalm, 'too many frames that say nothing');
    }
  }

  #receiveData(one: Frame): void {
    const size = one.payload.length;
    this.#receiveWindow -= size;
    if (this.#receiveWindow < 0) throw new ConnectionError(errorCodes.flowControl, 'more than the window');
    const stream = this.#streams.get(one.stream);
    if (stream === undefined) {
      // Of a stream that we gave up: the window is still the peer's.
      this.#giveBack(size);
      return;
    }
    const bytes = bare(one);
    stream.receiveWindow -= size;
    if (stream.receiveWindow < 0) throw new ConnectionError(errorCodes.flowControl, 'more than the window');
    if (size > bytes.length) this.#consumed(stream, size - bytes.length);
    if (bytes.length === 0) this.#control();
    else this.#controlFrames = 0;
    stream.receiveData(bytes, (one.flags & flags.endStream) !== 0);
    this.#forgetComplete(stream);
  }

  #receiveContinuation(one: Frame): void {
    const block = this.#headerBlock;
    if (block === undefined || block.stream !== one.stream) {
      throw new ConnectionError(errorCodes.protocol, 'a continuation of nothing');
    }
    block.bytes = Buffer.concat([block.bytes, one.payload]);
    if (block.bytes.length > HEADER_BYTES_MAX) {
      throw new ConnectionError(errorCodes.enhanceYourCalm, `headers of more than ${HEADER_BYTES_MAX} bytes`);
    }
    this.#control();
    this.#receiveBlock(one);
  }

  #receiveBlock(one: Frame): void {
    const block = this.#headerBlock;
    if (block === undefined || (one.flags & flags.endHeaders) === 0) return;
    this.#headerBlock = undefined;
    // Also of a stream that is gone: the tables of both sides have to stay the same.
    const fields = this.#decoder.decode(block.bytes);
    const known = this.#streams.get(block.stream);
    const stream = known ?? this.#accept(block.stream);
    if (stream === undefined) return;
    stream.receiveHeaders(fields, block.end);
    if (known === undefined) this.#onStream?.(stream);
    this.#forgetComplete(stream);
  }

  #accept(id: number): Http2Stream | undefined {
    if (this.#role === 'client' || id <= this.#lastPeerId) return undefined;
    if (id % 2 === 0) throw new ConnectionError(errorCodes.protocol, 'a stream of ours that we did not open');
    this.#lastPeerId = id;
    if (this.#streams.size >= STREAMS_MAX) {
      this.#control();
      this.#send(frame(frameTypes.reset, 0, id, number32(errorCodes.refusedStream)));
      return undefined;
    }
    return this.#add(id);
  }

  #receiveSettings(one: Frame): void {
    this.#control();
    if ((one.flags & flags.ack) !== 0) return;
    const payload = Buffer.from(one.payload);
    for (let at = 0; at + 6 <= payload.length; at += 6)
      this.#setting(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    this.#send(frame(frameTypes.settings, flags.ack, 0, new Uint8Array(0)));
  }

  #setting(id: number, value: number): void {
    if (id === settingIds.frameSize && value >= FRAME_BYTES_MAX)
      this.#peerFrameBytes = Math.min(value, FRAME_BYTES_MAX * 4);
    if (id !== settingIds.window) return;
    if (value > WINDOW_MAX) throw new ConnectionError(errorCodes.flowControl, 'a window that is too large');
    for (const stream of this.#streams.values()) stream.sendWindow += value - this.#peerWindow;
    this.#peerWindow = value;
    this.#wake();
  }

  #receiveWindowUpdate(one: Frame): void {
    const count = Buffer.from(one.payload).readUInt32BE(0) & WINDOW_MAX;
    if (one.stream === 0) {
      this.#sendWindow += count;
      if (this.#sendWindow > WINDOW_MAX)
        throw new ConnectionError(errorCodes.flowControl, 'a window that is too large');
    } else {
      const stream = this.#streams.get(one.stream);
      if (stream === undefined) return;
      stream.sendWindow += count;
      if (stream.sendWindow > WINDOW_MAX) stream.reset(errorCodes.flowControl);
    }
    this.#wake();
  }
}
