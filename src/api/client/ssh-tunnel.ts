/**
 * A daemon of another host as a socket of this one: each connection to the socket is one `ssh HOST … dial-stdio`, as
 * docker's client does it. Keys, agents, jump hosts and passwords are ssh's own business.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { startSession } from '#pkg/command/session.ts';
import { ConnectionError } from './api-error.ts';
import type { HostAddress, SshRemote } from './address.ts';

type Ssh = Extract<HostAddress, { kind: 'ssh' }>;
type Local = Extract<HostAddress, { kind: 'unix' }>;

const tunnels = new Map<string, Local>();

/** One listener for each remote, for the life of this process. */
export function tunnelTo(address: Ssh): Local {
  const known = tunnels.get(address.shown);
  if (known !== undefined) return known;
  const ssh = Bun.which('ssh');
  if (ssh === null)
    throw new ConnectionError(`Cannot connect to ${address.shown}: there is no ssh on this machine`, undefined);
  const directory = mkdtempSync(path.join(tmpdir(), 'berth-ssh-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const socket = path.join(directory, 'socket');
  listen(socket, ssh, argumentsFor(address.remote));
  const local: Local = { kind: 'unix', path: socket, shown: address.shown };
  tunnels.set(address.shown, local);
  return local;
}

/** The remote shell runs our client where it is there, else docker's. */
export function argumentsFor(remote: SshRemote): string[] {
  const host = remote.socket === '' ? '' : ` --host unix://${quote(remote.socket)}`;
  return [
    ...(remote.user === '' ? [] : ['-l', remote.user]),
    ...(remote.port === undefined ? [] : ['-p', String(remote.port)]),
    '-o',
    'ConnectTimeout=30',
    '-T',
    '--',
    remote.hostname,
    `exec $(command -v berth || echo docker)${host} system dial-stdio`,
  ];
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

interface Ends {
  readonly session: ReturnType<typeof startSession>;
  /** Bytes that the socket did not take yet. */
  waiting: Uint8Array[];
  /** Whoever reads from ssh waits here until the socket has taken them. */
  taken: PromiseWithResolvers<void> | undefined;
  ended: boolean;
}

function listen(socket: string, ssh: string, args: readonly string[]): void {
  const server = Bun.listen<Ends>({
    unix: socket,
    socket: {
      open(end) {
        const session = startSession(ssh, args, {
          data: (bytes) => push(end, bytes),
          end: () => {
            end.data.ended = true;
            void push(end, new Uint8Array());
          },
        });
        end.data = { session, waiting: [], taken: undefined, ended: false };
      },
      // An image may be larger than our memory, and the line slower than the daemon.
      data(end, bytes) {
        end.pause();
        end.data.session.write(bytes).then(
          () => end.resume(),
          () => end.end(),
        );
      },
      drain: (end) => void push(end, new Uint8Array()),
      end: (end) => end.data.session.endInput(),
      close(end) {
        end.data.taken?.resolve();
        end.data.session.kill();
      },
    },
    allowHalfOpen: true,
  });
  server.unref();
}

/** A promise when the socket has not taken all of it. */
function push(end: Bun.Socket<Ends>, bytes: Uint8Array): void | Promise<void> {
  const { data } = end;
  if (bytes.length > 0) data.waiting.push(Uint8Array.from(bytes));
  for (let first = data.waiting[0]; first !== undefined; first = data.waiting[0]) {
    const written = end.write(first);
    if (written < first.length) {
      data.waiting[0] = first.subarray(Math.max(0, written));
      data.taken ??= Promise.withResolvers();
      return data.taken.promise;
    }
    data.waiting.shift();
  }
  data.taken?.resolve();
  data.taken = undefined;
  if (data.ended) end.end();
  return undefined;
}
