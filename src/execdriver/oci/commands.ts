/**
 * Commands of a runtime as programs of calls: a list without namespaces, launched by the monitor, so that what the runtime
 * leaves behind falls to the monitor. Nothing of our environment goes along.
 */
import { CLONE, NR, SOCKET } from '#sys/numbers.ts';
import { type Gate, Program, type Source } from '#sys/program.ts';

const SIG_SETMASK = 2;
const SIGNAL_SET_BYTES = 8;
const NETLINK_ROUTE = 0;

export interface Streams {
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
}

/** Ends in execve of the runtime. */
export function runtimeProgram(runtime: string, args: readonly string[], streams: Streams): Program {
  const program = new Program();
  for (const [number, fd] of [streams.stdin, streams.stdout, streams.stderr].entries())
    program.do(`take stream ${number}`, NR.dup3, program.fd(fd), number, 0);
  program.do('new session', NR.setsid);
  program.do('enter /', NR.chdir, '/');
  const noSignals = program.bytes(new Uint8Array(SIGNAL_SET_BYTES));
  program.do('unblock signals', NR.rt_sigprocmask, SIG_SETMASK, noSignals, 0, SIGNAL_SET_BYTES);
  const env = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
  program.do('execve', NR.execve, runtime, program.argv([runtime, ...args]), program.argv(env));
  return program;
}

export interface SocketProgram {
  readonly program: Program;
  readonly gate: Gate;
  /** Number of the socket in the child. */
  readonly socket: number;
}

/** Joins a network namespace, opens an rtnetlink socket there and waits at its gate; then it ends. */
export function networkProgram(namespace: number): SocketProgram {
  const program = new Program();
  program.do('join network namespace', NR.setns, program.fd(namespace), CLONE.NEWNET);
  const flags = SOCKET.RAW | SOCKET.CLOEXEC;
  const socket = program.keep(program.do('netlink socket', NR.socket, SOCKET.AF_NETLINK, flags, NETLINK_ROUTE));
  // Nobody opens it: closing it ends the child.
  const gate = program.gate('network');
  program.fail('done');
  return { program, gate, socket: numberOf(program, socket) };
}

/** What a descriptor of the program is in the child: 3 is the outcome, then what is sent along, then the slots. */
function numberOf(program: Program, source: Source): number {
  const first = 4 + program.descriptorCount;
  return source.index >= 0 ? 4 + source.index : first - 1 - source.index;
}
