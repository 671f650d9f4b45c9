/**
 * Asks systemd for a scope of our own by one StartTransientUnit on the system bus. A scope is not a service: it has no
 * process that systemd started, it stays through daemon-reload and the death of every process in it but the last.
 */
import { createConnection, type Socket } from 'node:net';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { deadlineExceeded, messageOf, systemError, unavailable } from '#errdefs/errors.ts';
import { dbus, type DbusAnswer, type DbusCall, type DbusValue, decodeAnswer, encodeCall } from './dbus.ts';

const BUS = '/run/dbus/system_bus_socket';
const ANSWER_LIMIT_MS = 10_000;
const UNIT_EXISTS = 'org.freedesktop.systemd1.UnitExists';
/** Type of a D-Bus message. */
const ERROR = 3;
const SYSTEMD = {
  destination: 'org.freedesktop.systemd1',
  path: '/org/freedesktop/systemd1',
  interface: 'org.freedesktop.systemd1.Manager',
};

export interface ScopeRequest {
  readonly scope: string;
  readonly slice: string;
  readonly pids: readonly number[];
  /** At shutdown this unit is stopped before the scope, so that we end containers and not systemd. */
  readonly before: string;
  /** Path of the bus's socket; for tests. */
  readonly bus?: string;
}

/** The call, pure. */
export function scopeCall(request: ScopeRequest, serial: number): DbusCall {
  const property = (name: string, value: DbusValue) => dbus.struct(dbus.string(name), dbus.variant(value));
  const properties = [
    property('Description', dbus.string('Berth containers')),
    property('Slice', dbus.string(request.slice)),
    property('Delegate', dbus.boolean(true)),
    property('TasksMax', dbus.uint64(0xffff_ffff_ffff_ffffn)),
    property('CollectMode', dbus.string('inactive-or-failed')),
    property('PIDs', dbus.array('u', request.pids.map(dbus.uint32))),
    property('Before', dbus.array('s', [dbus.string(request.before)])),
  ];
  const body = [
    dbus.string(request.scope),
    dbus.string('fail'),
    dbus.array('(sv)', properties),
    dbus.array('(sa(sv))', []),
  ];
  return { ...SYSTEMD, serial, member: 'StartTransientUnit', body };
}

/** The call for a scope of v1 that is there already, with containers of a monitor that died. Pure. */
export function attachCall({ scope, pids }: ScopeRequest, serial: number): DbusCall {
  const body = [dbus.string(scope), dbus.string(''), dbus.array('u', pids.map(dbus.uint32))];
  return { ...SYSTEMD, serial, member: 'AttachProcessesToUnit', body };
}

/** Settles when the processes are in the scope. */
export async function adoptIntoScope(request: ScopeRequest): Promise<void> {
  await using bus = await Bus.connect(request.bus ?? BUS);
  await bus.call({
    serial: 1,
    destination: 'org.freedesktop.DBus',
    path: '/org/freedesktop/DBus',
    interface: 'org.freedesktop.DBus',
    member: 'Hello',
    body: [],
  });
  let answer = await bus.call(scopeCall(request, 2));
  if (answer.errorName === UNIT_EXISTS) answer = await bus.call(attachCall(request, 3));
  if (answer.type === ERROR) {
    const reason = `${answer.errorName}: ${answer.text ?? ''}`;
    throw systemError(`Cannot make systemd unit "${request.scope}": ${reason}`);
  }
  // The answer names a job that is queued; it is done when the processes have moved.
  const isThere = (pid: number) => readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(`/${request.scope}`);
  for (const started = performance.now(); !request.pids.every(isThere); await sleep(5)) {
    if (performance.now() - started > ANSWER_LIMIT_MS) {
      throw deadlineExceeded(`Cannot make systemd unit "${request.scope}": not there after ${ANSWER_LIMIT_MS} ms`);
    }
  }
}

class Bus implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #answers: AsyncIterator<Uint8Array>;
  #rest = new Uint8Array(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    // Node's type says any; a socket without an encoding yields Buffers.
    this.#answers = socket[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  }

  static async connect(path: string): Promise<Bus> {
    const socket = createConnection(path);
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    socket.once('connect', () => resolve(undefined));
    socket.once('error', reject);
    try {
      await promise;
    } catch (cause) {
      throw unavailable(`Cannot reach systemd on "${path}": ${messageOf(cause)}`, { cause });
    }
    socket.setTimeout(ANSWER_LIMIT_MS, () => socket.destroy(new Error(`no answer within ${ANSWER_LIMIT_MS} ms`)));
    const bus = new Bus(socket);
    const uid = Buffer.from(String(process.getuid?.() ?? 0)).toString('hex');
    socket.write(`\0AUTH EXTERNAL ${uid}\r\n`);
    const reply = await bus.#until((bytes) => bytes.indexOf(10) + 1 || undefined);
    const line = new TextDecoder().decode(reply);
    if (!line.startsWith('OK ')) throw unavailable(`Cannot reach systemd on "${path}": ${line.trim()}`);
    socket.write('BEGIN\r\n');
    return bus;
  }

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
      if (next.done === true) throw unavailable('Cannot talk to systemd: the bus closed the connection');
      this.#rest = Uint8Array.from([...this.#rest, ...next.value]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }
}
