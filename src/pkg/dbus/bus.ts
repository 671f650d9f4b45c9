/**
 * The system bus, for a call or two: no signals are listened to, no name is owned. https://dbus.freedesktop.org/doc/
 */
import { createConnection, type Socket } from 'node:net';
import { messageOf, unavailable } from '#errdefs/errors.ts';
import { type DbusAnswer, type DbusCall, decodeAnswer, encodeCall } from './messages.ts';

const SYSTEM_BUS = '/run/dbus/system_bus_socket';
const ANSWER_LIMIT_MS = 10_000;
const HELLO: DbusCall = {
  serial: 1,
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  member: 'Hello',
  body: [],
};

export class Bus implements AsyncDisposable {
  readonly #socket: Socket;
  /** Who is talked to, for messages. */
  readonly #peer: string;
  readonly #answers: AsyncIterator<Uint8Array>;
  #rest = new Uint8Array(0);

  private constructor(socket: Socket, peer: string) {
    this.#socket = socket;
    this.#peer = peer;
    // Node's type says any; a socket without an encoding yields Buffers.
    this.#answers = socket[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  }

  /** Calls may count from 2. Errors: unavailable. */
  static async connect(peer: string, path = SYSTEM_BUS): Promise<Bus> {
    const socket = createConnection(path);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    socket.once('connect', () => resolve(undefined));
    socket.once('error', reject);
    try {
      await promise;
    } catch (cause) {
      throw unavailable(`Cannot reach ${peer} on "${path}": ${messageOf(cause)}`, { cause });
    }
    socket.setTimeout(ANSWER_LIMIT_MS, () => socket.destroy(new Error(`no answer within ${ANSWER_LIMIT_MS} ms`)));
    const bus = new Bus(socket, peer);
    const uid = Buffer.from(String(process.getuid?.() ?? 0)).toString('hex');
    socket.write(`\0AUTH EXTERNAL ${uid}\r\n`);
    const reply = await bus.#until((bytes) => bytes.indexOf(10) + 1 || undefined);
    const line = new TextDecoder().decode(reply);
    if (!line.startsWith('OK ')) throw unavailable(`Cannot reach ${peer} on "${path}": ${line.trim()}`);
    socket.write('BEGIN\r\n');
    await bus.call(HELLO);
    return bus;
  }

  /** The answer may be an error of the peer. Errors: unavailable. */
  async call(call: DbusCall): Promise<DbusAnswer> {
    this.#socket.write(encodeCall(call));
    for (;;) {
      let answer: DbusAnswer | undefined;
      await this.#until((bytes) => {
        answer = decodeAnswer(bytes);
        return answer?.length;
      });
      // What else comes is a signal (NameAcquired).
      if (answer?.replySerial === call.serial) return answer;
    }
  }

  /** Takes bytes off the stream until `complete` tells how many make a whole. */
  async #until(complete: (bytes: Uint8Array) => number | undefined): Promise<Uint8Array> {
    for (;;) {
      const length = complete(this.#rest);
      if (length !== undefined) {
        const whole = this.#rest.slice(0, length);
        this.#rest = this.#rest.slice(length);
        return whole;
      }
      const next = await this.#answers.next();
      if (next.done === true) throw unavailable(`Cannot talk to ${this.#peer}: the bus closed the connection`);
      this.#rest = Uint8Array.from([...this.#rest, ...next.value]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }
}
