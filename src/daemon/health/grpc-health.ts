/**
 * One call of grpc.health.v1.Health/Check over HTTP/2: as much of the protocol as one request and its answer
 * need. Header compression: ours are literals; of the peer's only `grpc-status` is looked for, plain or Huffman-coded.
 */
import type { ProbeOutcome } from './probe-input.ts';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const HEAD_BYTES = 9;
/** What a peer may send without asking: the protocol's default. */
const FRAME_BYTES_MAX = 16_384;
const FRAME = { DATA: 0, HEADERS: 1, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7, CONTINUATION: 9 } as const;
const FLAG = { ACK: 1, END_STREAM: 1, END_HEADERS: 4, PADDED: 8 } as const;
const GRPC_HEAD_BYTES = 5;
/** Of a whole answer: the peer is a container and may send for ever. */
const ANSWER_BYTES_MAX = 256 * 1024;
const servingNames = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
const SERVING = 1;

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes.writeUInt8(type, 3);
  bytes.writeUInt8(flags, 4);
  bytes.writeUInt32BE(stream, 5);
  bytes.set(payload, HEAD_BYTES);
  return bytes;
}

/** HPACK: a literal that is not indexed, name and value as they are. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  // A prefixed integer of 7 bits; longer ones go on in the next bytes.
  const head: number[] = [];
  if (bytes.length < 127) head.push(bytes.length);
  else {
    head.push(127);
    let rest = bytes.length - 127;
    for (; rest >= 128; rest = Math.floor(rest / 128)) head.push((rest % 128) | 128);
    head.push(rest);
  }
  return Buffer.concat([Buffer.from(head), bytes]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return [...bytes, rest];
}

export function grpcRequest(authority: string, service: string, scheme: 'http' | 'https' = 'http'): Uint8Array {
  const headers = Buffer.concat([
    literal(':method', 'POST'),
    literal(':scheme', scheme),
    literal(':path', '/grpc.health.v1.Health/Check'),
    literal(':authority', authority),
    literal('content-type', 'application/grpc'),
    literal('te', 'trailers'),
    literal('user-agent', 'berth-probe/1'),
  ]);
  const name = Buffer.from(service);
  // message HealthCheckRequest { string service = 1; }
  const message =
    name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name]);
  const head = Buffer.alloc(GRPC_HEAD_BYTES);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([
    Buffer.from(PREFACE),
    frame(FRAME.SETTINGS, 0, 0, Buffer.alloc(0)),
    frame(FRAME.HEADERS, FLAG.END_HEADERS, 1, headers),
    frame(FRAME.DATA, FLAG.END_STREAM, 1, Buffer.concat([head, message])),
  ]);
}

export class GrpcAnswer {
  #total = 0;
  #bytes: Buffer = Buffer.alloc(0);
  #data: Buffer = Buffer.alloc(0);
  #headers: Buffer = Buffer.alloc(0);

  take(bytes: Uint8Array, reply: (bytes: Uint8Array) => void): ProbeOutcome | undefined {
    this.#total += bytes.length;
    if (this.#total > ANSWER_BYTES_MAX) return { exitCode: 1, output: 'the answer is too long' };
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    while (this.#bytes.length >= HEAD_BYTES) {
      const length = this.#bytes.readUIntBE(0, 3);
      if (length > FRAME_BYTES_MAX) return { exitCode: 1, output: 'the answer is not HTTP/2' };
      if (this.#bytes.length < HEAD_BYTES + length) return undefined;
      const type = this.#bytes.readUInt8(3);
      const flags = this.#bytes.readUInt8(4);
      const payload = this.#bytes.subarray(HEAD_BYTES, HEAD_BYTES + length);
      this.#bytes = this.#bytes.subarray(HEAD_BYTES + length);
      const outcome = this.#frame(type, flags, payload, reply);
      if (outcome !== undefined) return outcome;
    }
    return undefined;
  }

  end(): ProbeOutcome {
    return { exitCode: 1, output: 'the connection was closed without an answer' };
  }

  #frame(type: number, flags: number, payload: Buffer, reply: (b: Uint8Array) => void): ProbeOutcome | undefined {
    switch (type) {
      case FRAME.SETTINGS:
        if ((flags & FLAG.ACK) === 0) reply(frame(FRAME.SETTINGS, FLAG.ACK, 0, Buffer.alloc(0)));
        return undefined;
      case FRAME.PING:
        if ((flags & FLAG.ACK) === 0) reply(frame(FRAME.PING, FLAG.ACK, 0, payload));
        return undefined;
      case FRAME.GOAWAY:
      case FRAME.RST_STREAM:
        return { exitCode: 1, output: 'the server refused the call' };
      case FRAME.DATA:
        this.#data = Buffer.concat([this.#data, unpadded(flags, payload)]);
        return this.#serving() ?? this.#ended(flags);
      case FRAME.HEADERS:
      case FRAME.CONTINUATION:
        this.#headers = Buffer.concat([this.#headers, payload]);
        return this.#ended(type === FRAME.HEADERS ? flags : 0);
      default:
        return undefined;
    }
  }

  /** message HealthCheckResponse { ServingStatus status = 1; } */
  #serving(): ProbeOutcome | undefined {
    if (this.#data.length < GRPC_HEAD_BYTES) return undefined;
    const length = this.#data.readUInt32BE(1);
    const message = this.#data.subarray(GRPC_HEAD_BYTES, GRPC_HEAD_BYTES + length);
    if (message.length < length) return undefined;
    // A status of 0 is left out.
    const status = message[0] === 0x08 ? (message[1] ?? 0) : 0;
    const output = `status: ${servingNames[status] ?? String(status)}`;
    return { exitCode: status === SERVING ? 0 : 1, output };
  }

  #ended(flags: number): ProbeOutcome | undefined {
    if ((flags & FLAG.END_STREAM) === 0) return undefined;
    const status = grpcStatusIn(this.#headers);
    return { exitCode: 1, output: `no status in the answer (grpc-status ${status ?? 'unknown'})` };
  }
}

function unpadded(flags: number, payload: Buffer): Buffer {
  if ((flags & FLAG.PADDED) === 0) return payload;
  return payload.subarray(1, Math.max(1, payload.length - (payload[0] ?? 0)));
}

const PLAIN_NAME = Buffer.from('grpc-status');
/** The same in the Huffman code of RFC 7541. */
const CODED_NAME = Buffer.from('9acac8b21234da8f', 'hex');

/** The value that follows the name as a literal; undefined when it is not there. */
export function grpcStatusIn(headers: Buffer): number | undefined {
  for (const name of [PLAIN_NAME, CODED_NAME]) {
    const at = headers.indexOf(name);
    if (at < 0) continue;
    const length = headers[at + name.length] ?? 0;
    const value = headers.subarray(at + name.length + 1, at + name.length + 1 + (length & 0x7f));
    const digits = (length & 0x80) === 0 ? value.toString('latin1') : codedDigits(value);
    if (/^\d{1,2}$/.test(digits)) return Number(digits);
  }
  return undefined;
}

/** Digits in the Huffman code: 0–2 are 00000–00010, 3–9 are 011001–011111. */
function codedDigits(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  let digits = '';
  for (let at = 0; at + 5 <= bits.length; ) {
    const five = Number.parseInt(bits.slice(at, at + 5), 2);
    const six = Number.parseInt(bits.slice(at, at + 6), 2);
    if (five <= 2) {
      digits += String(five);
      at += 5;
    } else if (at + 6 <= bits.length && six >= 0x19 && six <= 0x1f) {
      digits += String(six - 0x19 + 3);
      at += 6;
    } else break; // padding
  }
  return digits;
}
