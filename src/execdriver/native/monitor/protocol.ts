/**
 * What berthd and berth-monitor say to each other: frames of a length (u32) and JSON on a unix stream socket. Descriptors
 * travel by SCM_RIGHTS with the frame's first byte, in the order that the message names.
 *
 * The monitor interprets no list and no spec, so that an older monitor serves a newer daemon: a message that it does not
 * know is answered by `unknown`. The version is raised only when an old pair could misunderstand each other.
 */
import { ok } from 'node:assert/strict';

export const PROTOCOL_VERSION = 1;
/** A frame with 5,000 processes is 1 MB. */
export const FRAME_BYTES_MAX = 16 << 20;

/** How a process ended, as the monitor records it. */
export interface ExitRecord {
  readonly id: string;
  readonly pid: number;
  /** Exit status, 0 when a signal ended it. */
  readonly code: number;
  readonly signal: number;
  /** Milliseconds since 1970. */
  readonly time: number;
}

export interface ListedProcess {
  readonly id: string;
  readonly pid: number;
  /** Descriptors of the monitor's own table by name: 'stdin', 'stdout', 'stderr', 'tty'. */
  readonly held: Readonly<Record<string, number>>;
  /** Absent while it runs. */
  readonly exit?: ExitRecord;
}

/** daemon → monitor */
export type DaemonMessage =
  /** Asks for `hello`; from now on exits are told on this connection and it counts as a daemon. */
  | { readonly t: 'attach' }
  /**
   * Descriptors: the list's memfd, the write end of the outcome pipe, `sources` more, then one for each of `held`. The
   * monitor writes the received numbers into the list (source i at firstSourceAt + 80·i; the outcome pipe is source 0).
   */
  | {
      readonly t: 'start';
      readonly key: number;
      readonly id: string;
      /** The arena that the list was made for; refused with ESTALE when the zygote is another by now. */
      readonly base: number;
      readonly length: number;
      readonly firstSourceAt: number;
      readonly sources: number;
      /** Index among the sources of the cgroup to clone into. */
      readonly cgroup?: number;
      readonly held: readonly string[];
      /** The child clones again and leaves; `adopt` tells the process that counts. */
      readonly second: boolean;
      /**
       * Only to a monitor whose hello says that it can. One more descriptor: the read end of the outcome pipe, not
       * blocking. Nothing of the process stays: its exit is told once, with the pipe's reports, and not recorded; the
       * monitor itself adopts the second clone, whose pid `started` tells.
       */
      readonly passing?: boolean;
    }
  | { readonly t: 'adopt'; readonly id: string; readonly pid: number }
  /** Closes one held descriptor: the end of input. */
  | { readonly t: 'drop'; readonly id: string; readonly name: string }
  /** The exit was taken notice of: record and descriptors go. */
  | { readonly t: 'forget'; readonly id: string }
  /** Asks for a duplicate of a held descriptor by SCM_RIGHTS, where pidfd_getfd is refused. */
  | { readonly t: 'take'; readonly id: string; readonly name: string };

/** monitor → daemon */
export type MonitorMessage =
  | {
      readonly t: 'hello';
      readonly version: number;
      readonly pid: number;
      readonly base: number;
      readonly arenaBytes: number;
      /** False: /proc/PID/exe of a child before its execve is the monitor's own file. */
      readonly ownExecutable: boolean;
      /** It understands `passing` starts. */
      readonly passing?: boolean;
      readonly processes: readonly ListedProcess[];
    }
  /** The zygote died and there is another. */
  | { readonly t: 'arena'; readonly base: number; readonly arenaBytes: number }
  | { readonly t: 'started'; readonly key: number; readonly id: string; readonly pid: number }
  | { readonly t: 'refused'; readonly key: number; readonly id: string; readonly errno: number; readonly what: string }
  /** `reports`: base64 of what the outcome pipe of a `passing` start held. */
  | { readonly t: 'exit'; readonly exit: ExitRecord; readonly reports?: string }
  | { readonly t: 'taken'; readonly found: boolean }
  | { readonly t: 'unknown'; readonly message: string };

export function encodeFrame(message: DaemonMessage | MonitorMessage): Uint8Array {
  const json = Buffer.from(JSON.stringify(message));
  const frame = Buffer.allocUnsafe(4 + json.length);
  frame.writeUInt32LE(json.length, 0);
  json.copy(frame, 4);
  return frame;
}

/** Puts frames together again. Throws on a frame over the limit or on text that is no JSON: the peer is broken. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** Complete messages, undecoded. */
  push(bytes: Uint8Array): unknown[] {
    this.#rest = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes]);
    const messages: unknown[] = [];
    let at = 0;
    while (this.#rest.length - at >= 4) {
      const length = this.#rest.readUInt32LE(at);
      if (length > FRAME_BYTES_MAX)
        throw new RangeError(`a frame of ${length} bytes is longer than ${FRAME_BYTES_MAX}`);
      if (this.#rest.length - at - 4 < length) break;
      messages.push(JSON.parse(this.#rest.toString('utf8', at + 4, at + 4 + length)));
      at += 4 + length;
    }
    this.#rest = this.#rest.subarray(at);
    return messages;
  }
}

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  ok(typeof value === 'object' && value !== null, 'a message is an object');
  return value as Fields; // checked: an object that came from JSON
}

function text(fields: Fields, name: string): string {
  const value = fields[name];
  ok(typeof value === 'string', `"${name}" is text`);
  return value;
}

function whole(fields: Fields, name: string): number {
  const value = fields[name];
  ok(typeof value === 'number' && Number.isSafeInteger(value) && value >= 0, `"${name}" is a whole number`);
  return value;
}

function texts(fields: Fields, name: string): string[] {
  const value = fields[name];
  ok(Array.isArray(value), `"${name}" is a list`);
  return value.map((v: unknown) => {
    ok(typeof v === 'string');
    return v;
  });
}

/** Undefined: a kind that this monitor does not know. */
export function decodeDaemonMessage(value: unknown): DaemonMessage | undefined {
  const f = fieldsOf(value);
  switch (f['t']) {
    case 'attach':
      return { t: 'attach' };
    case 'start':
      return {
        t: 'start',
        key: whole(f, 'key'),
        id: text(f, 'id'),
        base: whole(f, 'base'),
        length: whole(f, 'length'),
        firstSourceAt: whole(f, 'firstSourceAt'),
        sources: whole(f, 'sources'),
        held: texts(f, 'held'),
        second: f['second'] === true,
        ...(f['passing'] === true ? { passing: true } : {}),
        ...(f['cgroup'] === undefined ? {} : { cgroup: whole(f, 'cgroup') }),
      };
    case 'adopt':
      return { t: 'adopt', id: text(f, 'id'), pid: whole(f, 'pid') };
    case 'drop':
      return { t: 'drop', id: text(f, 'id'), name: text(f, 'name') };
    case 'forget':
      return { t: 'forget', id: text(f, 'id') };
    case 'take':
      return { t: 'take', id: text(f, 'id'), name: text(f, 'name') };
    default:
      return undefined;
  }
}

export function decodeExitRecord(value: unknown): ExitRecord {
  const f = fieldsOf(value);
  return {
    id: text(f, 'id'),
    pid: whole(f, 'pid'),
    code: whole(f, 'code'),
    signal: whole(f, 'signal'),
    time: whole(f, 'time'),
  };
}

function decodeListed(value: unknown): ListedProcess {
  const f = fieldsOf(value);
  const held: Record<string, number> = {};
  const given = fieldsOf(f['held']);
  for (const name of Object.keys(given)) held[name] = whole(given, name);
  const listed = { id: text(f, 'id'), pid: whole(f, 'pid'), held };
  return f['exit'] === undefined ? listed : { ...listed, exit: decodeExitRecord(f['exit']) };
}

/** Undefined: a kind that this daemon does not know. */
export function decodeMonitorMessage(value: unknown): MonitorMessage | undefined {
  const f = fieldsOf(value);
  switch (f['t']) {
    case 'hello': {
      const processes = f['processes'];
      ok(Array.isArray(processes));
      return {
        t: 'hello',
        version: whole(f, 'version'),
        pid: whole(f, 'pid'),
        base: whole(f, 'base'),
        arenaBytes: whole(f, 'arenaBytes'),
        ownExecutable: f['ownExecutable'] === true,
        ...(f['passing'] === true ? { passing: true } : {}),
        processes: processes.map(decodeListed),
      };
    }
    case 'arena':
      return { t: 'arena', base: whole(f, 'base'), arenaBytes: whole(f, 'arenaBytes') };
    case 'started':
      return { t: 'started', key: whole(f, 'key'), id: text(f, 'id'), pid: whole(f, 'pid') };
    case 'refused':
      return { t: 'refused', key: whole(f, 'key'), id: text(f, 'id'), errno: whole(f, 'errno'), what: text(f, 'what') };
    case 'exit':
      return {
        ...{ t: 'exit', exit: decodeExitRecord(f['exit']) },
        ...(f['reports'] === undefined ? {} : { reports: text(f, 'reports') }),
      };
    case 'taken':
      return { t: 'taken', found: f['found'] === true };
    case 'unknown':
      return { t: 'unknown', message: text(f, 'message') };
    default:
      return undefined;
  }
}
